"""Writes doubles: graphs over exact weights in single precision, with an output behind each."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from whisperopt.backend import Recipe
from whisperopt.evaluate.ranges import widened
from whisperopt.graph.canvas import Canvas, typed
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.graph.files import write
from whisperopt.passes.audio_spans import EncodeSpans, HearSpans
from whisperopt.passes.group_heads import GroupHeads
from whisperopt.passes.rewrite import Pass, canvas_for, replace, run
from whisperopt.runtime.arrays import Floats
from whisperopt.static_checks.weights.judge import folded
from whisperopt.static_checks.weights.pairs import Pair, pairs
from whisperopt.static_checks.weights.stored import StoredWeight, fold, stored_weights
from whisperopt.static_checks.weights.unpacking import words

AT = "at/"
"""Opens the name of an output: the mean over the second axis of what a weight was used for."""
_BIAS = {"MatMulNBits": 5, "DynamicQuantizeMatMul": 4}
"""Products of packed weights, and where they take a bias."""
_TABLE = "GatherBlockQuantized"
_QUERY = ".q_proj."


def place(pair: Pair) -> str:
    """Name one use of a weight: the words' table is looked up, and it is multiplied by."""
    return f"{pair.name}{' as a product' * pair.expected.product}"


class UnknownFormError(Exception):
    """A graph holds weights in a form for which nothing here can put exact ones in."""


def write_core(core: CoreModel, recipe: Recipe, folder: Path) -> None:
    """Write the core model, with as many key/value heads as `recipe` has, into `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = frozenset(core.checkpoint.names())
    for part in PARTS:
        model = _authored(core, part, recipe)
        weights = list(stored_weights(model))
        places = {place(pair): pair.expected.node for pair in pairs(weights, weights, names)}
        write(_watched(model, places), folder / f"{part}.onnx")


def write_double(core: CoreModel, recipe: Recipe, shipped: Path, folder: Path) -> None:
    """Write the graphs in `shipped` again, over exact weights in single precision.

    Raises `UnknownFormError` where a weight is not found, or packed in a way that is not known.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for part in PARTS:
        try:
            model = ir.load(shipped / f"{part}.onnx")
        except Exception as error:  # noqa: BLE001  # damaged graphs fail in many ways
            raise UnknownFormError(f"{part}.onnx cannot be read: {str(error)[:200]!r}") from None
        places = _Exact(core, part, recipe, model).places()
        RemoveUnusedNodesPass()(model)
        write(_watched(widened(model), places), folder / f"{part}.onnx")


class _Exact:
    """Puts the core model's weights into one graph."""

    def __init__(self, core: CoreModel, part: Part, recipe: Recipe, model: ir.Model) -> None:
        self.core, self.part, self.recipe, self.model = core, part, recipe, model
        self._folded: dict[str, float] = {}

    def places(self) -> dict[str, ir.Node]:
        """Replace every weight; return the nodes that use them now."""
        wanted = list(stored_weights(_authored(self.core, self.part, self.recipe)))
        stored = list(stored_weights(self.model))
        matched = pairs(wanted, stored, self.core.checkpoint.names())
        lost = next((pair.name for pair in matched if not pair.found), None)
        if lost or not matched:
            raise UnknownFormError(f"{lost or 'no weight'} was not found in the {self.part}")
        places: dict[str, ir.Node] = {}
        # products first: those that take a bias become a product and a sum, which takes it then
        for pair in sorted(matched, key=lambda pair: not pair.expected.product):
            for found in pair.found:
                places.setdefault(place(pair), self._replaced(pair, found))
        return places

    def _replaced(self, pair: Pair, found: StoredWeight) -> ir.Node:
        node, canvas = found.node, canvas_for(self.model, f"{found.node.name}/exact/")
        if node.graph is None:
            node = next(use.node for use in found.value.uses() if use.node.graph is not None)
        exact = self._reader(pair, found)
        shape = exact().shape
        packed = node.op_type in _BIAS and found.product
        table = node.op_type == _TABLE or words(node) is not None
        if found.scales is not None and not packed and not table:
            raise UnknownFormError(f"{pair.name!r} is packed for a {node.op_type}")
        turned = packed or (found.product and found.outputs_last)
        if not (packed or found.product or table):
            shape = fold(found.value).shape
        value = canvas.weight(
            f"{canvas.prefix}{pair.name}",
            shape[::-1] if turned else shape,
            lambda: exact().T if turned else exact(),
            dtype=ir.DataType.FLOAT,
        )
        if packed or table:
            return _unpacked(node, canvas, value)
        for place, old in enumerate(node.inputs):
            if old is found.value:
                node.replace_input_with(place, value)
        return node

    def _reader(self, pair: Pair, found: StoredWeight) -> Callable[[], Floats]:
        """Return what reads the exact weight, with what has been folded into it."""
        stem, query, end = pair.name.partition(_QUERY)
        if query and end == "weight":
            self._folded[stem] = folded(
                pair.name,
                found.read(),
                pair.expected.read(),
                dims=self.core.checkpoint.dims,
                part=self.part,
                recipe=self.recipe,
            )
        factor = np.float32(self._folded.get(stem, 1.0) if query else 1.0)
        return lambda: pair.expected.read() * factor


def _unpacked(node: ir.Node, canvas: Canvas, exact: ir.Value) -> ir.Node:
    """Put a standard operator over the weight `exact` in the place of `node`."""
    ids, scaled = node.inputs[1], words(node)
    node = scaled or node
    if scaled is not None or node.op_type == _TABLE:
        made = canvas.op("Gather", exact, ids)
    else:
        made = canvas.op("MatMul", node.inputs[0], exact)
    drawn = canvas.nodes[0]
    place = _BIAS.get(node.op_type, len(node.inputs))
    if place < len(node.inputs) and node.inputs[place] is not None:
        made = canvas.op("Add", made, node.inputs[place])
    replace(node, canvas, [made])
    return drawn


def _authored(core: CoreModel, part: Part, recipe: Recipe) -> ir.Model:
    """Return the core model's graph for what is put into the variant's: heads and spans."""
    steps: list[Pass] = []
    if part == "decoder" and recipe.kv_heads is not None:
        steps.append(GroupHeads(recipe.kv_heads))
    if recipe.audio_tail is not None:
        steps.append(EncodeSpans() if part == "encoder" else HearSpans())
    return run(core.part(part), steps)


def _watched(model: ir.Model, places: Mapping[str, ir.Node]) -> ir.Model:
    """Add an output behind every place; a query may have been scaled, so it is none."""
    canvas = canvas_for(model, AT)
    axis = canvas.ints(1)
    for name, node in places.items():
        if _QUERY not in name:
            mean = canvas.op("ReduceMean", node.outputs[0], axis, keepdims=0)
            mean.name = f"{AT}{name}"
            model.graph.outputs.append(typed(mean, ir.DataType.FLOAT, ["kept", "channels"]))
    model.graph.extend(canvas.nodes)
    return model
