"""Writes dequantized references: graphs over exact weights in fp32, with an output behind each."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from whisperopt.backend import Recipe
from whisperopt.errors import WhisperoptError
from whisperopt.graph.canvas import Canvas, typed
from whisperopt.graph.core import PARTS, CoreModel, write
from whisperopt.passes.half import widened
from whisperopt.passes.plan import reference
from whisperopt.passes.rewrite import canvas_for, replace
from whisperopt.reasons import because
from whisperopt.runtime.arrays import Floats
from whisperopt.static_checks.equivalence.comparison import AT
from whisperopt.static_checks.weights.judge import QUERY, VariantPart
from whisperopt.static_checks.weights.pairs import WeightPair, pairs
from whisperopt.static_checks.weights.stored import StoredWeight, fold, stored_weights
from whisperopt.static_checks.weights.unpacking import words

_BIAS = {"MatMulNBits": 5, "DynamicQuantizeMatMul": 4}
"""Products of packed weights, and where they take a bias."""
_TABLE = "GatherBlockQuantized"


class UnknownFormError(WhisperoptError):
    """A graph holds weights in a form for which nothing here can put exact ones in."""


def write_core(core: CoreModel, recipe: Recipe, folder: Path) -> None:
    """Write the core model, with the heads and spans that `recipe` has, into `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = frozenset(core.checkpoint.names())
    for part in PARTS:
        model = reference(recipe, core, part)
        weights = list(stored_weights(model))
        places = {_place(pair): pair.expected.node for pair in pairs(weights, weights, names)}
        write(_watched(model, places), folder / f"{part}.onnx")


def write_dequantized(core: CoreModel, recipe: Recipe, shipped: Path, folder: Path) -> None:
    """Write the graphs in `shipped` again, over exact weights in single precision.

    Raises `UnknownFormError` where a weight is not found, or packed in a way that is not known.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for part in PARTS:
        try:
            model = ir.load(shipped / f"{part}.onnx")
        except Exception as error:  # noqa: BLE001  # damaged graphs fail in many ways
            why = because("equivalence.no-graph", f"{part}.onnx", why=repr(str(error)[:200]))
            raise UnknownFormError(why) from None
        places = _with_exact_weights(VariantPart(core, part, recipe), model)
        RemoveUnusedNodesPass()(model)
        write(_watched(widened(model), places), folder / f"{part}.onnx")


def _place(pair: WeightPair) -> str:
    """Name one use of a weight: the words' table is looked up, and it is multiplied by."""
    return f"{pair.name}{' as a product' * pair.expected.product}"


def _with_exact_weights(variant: VariantPart, model: ir.Model) -> dict[str, ir.Node]:
    """Put the checkpoint's in the place of every weight; return the nodes that use them now."""
    matched = pairs(variant.weights(), stored_weights(model), variant.core.checkpoint.names())
    lost = next((pair.name for pair in matched if not pair.found), None)
    if lost or not matched:
        raise UnknownFormError(because("equivalence.lost", lost or "no weight", part=variant.part))
    places: dict[str, ir.Node] = {}
    factors: dict[str, float] = {}
    # products first: those that take a bias become a product and a sum, which takes it then
    for pair in sorted(matched, key=lambda pair: not pair.expected.product):
        stem, _, end = pair.name.partition(QUERY)
        for found in pair.found:
            if end == "weight":
                factors[stem] = variant.unfolded(pair.name, found.read(), pair.expected.read())
            factor = factors.get(stem, 1.0) if end else 1.0
            places.setdefault(_place(pair), _replaced(model, pair, found, np.float32(factor)))
    return places


def _replaced(
    model: ir.Model, pair: WeightPair, found: StoredWeight, factor: np.float32
) -> ir.Node:
    """Put the exact weight, times what a query's is larger by, where `found` is used."""
    node, canvas = found.node, canvas_for(model, f"{found.node.name}/exact/")
    if node.graph is None:
        node = next(use.node for use in found.value.uses() if use.node.graph is not None)
    packed = node.op_type in _BIAS and found.product
    table = node.op_type == _TABLE or words(node) is not None
    if found.scales is not None and not packed and not table:
        raise UnknownFormError(because("equivalence.packed", repr(pair.name), op=node.op_type))
    turned = packed or (found.product and found.outputs_last)

    def exact() -> Floats:
        array = pair.expected.read() * factor
        return array.T if turned else array

    plain = not (packed or found.product or table)
    shape = fold(found.value).shape if plain else exact().shape
    value = canvas.weight(f"{canvas.prefix}{pair.name}", shape, exact, dtype=ir.DataType.FLOAT)
    if packed or table:
        return _unpacked(node, canvas, value)
    for index, old in enumerate(node.inputs):
        if old is found.value:
            node.replace_input_with(index, value)
    return node


def _unpacked(node: ir.Node, canvas: Canvas, exact: ir.Value) -> ir.Node:
    """Put a standard operator over the weight `exact` in the place of `node`."""
    ids, looked_up = node.inputs[1], words(node)
    if looked_up or node.op_type == _TABLE:
        made = canvas.op("Gather", exact, ids)
    else:
        made = canvas.op("MatMul", node.inputs[0], exact)
    node = looked_up[0] if looked_up else node
    drawn = canvas.nodes[0]
    index = _BIAS.get(node.op_type, len(node.inputs))
    if index < len(node.inputs) and node.inputs[index] is not None:
        made = canvas.op("Add", made, node.inputs[index])
    replace(node, canvas, [made])
    return drawn


def _watched(model: ir.Model, places: Mapping[str, ir.Node]) -> ir.Model:
    """Add an output behind every place; a query may have been scaled, so it is none."""
    canvas = canvas_for(model, AT)
    axis = canvas.ints(1)
    for name, node in places.items():
        if QUERY not in name:
            mean = canvas.op("ReduceMean", node.outputs[0], axis, keepdims=0)
            mean.name = f"{AT}{name}"
            model.graph.outputs.append(typed(mean, ir.DataType.FLOAT, ["kept", "channels"]))
    model.graph.extend(canvas.nodes)
    return model
