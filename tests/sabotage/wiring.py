"""Sabotages of graphs: every weight is right, what is done with it is not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir

from tests.sabotage import disk
from tests.sabotage.disk import InapplicableError
from whisperopt.graph.core import PARTS, Part

_ATTENTION = ("GroupQueryAttention", "MultiHeadAttention", "Attention")


def extra_factor(part: Part, stem: str, factor: float) -> Callable[[Path], None]:
    """Multiply what comes out of the product `stem`, before its bias is added."""

    def apply(folder: Path) -> None:
        with disk.graph(folder, part) as model:
            add = disk.node(model, "Add", f"{stem}.bias")
            product = next(x for x in add.inputs if x is not None and x.producer() is not None)
            disk.after(product, "Mul", np.array(factor, disk.floats(model)))

    return apply


def move_positions(by: int) -> Callable[[Path], None]:
    """Look every token's position up `by` rows later; earlier than 0 is the table's end."""

    def apply(folder: Path) -> None:
        with disk.graph(folder, "decoder") as model:
            gather = disk.node(model, "Gather", "decoder.embed_positions.weight")
            disk.before(gather, 1, "Add", np.array(by, np.int32))

    return apply


def epsilon(part: Part, value: float, *, only: str = "") -> Callable[[Path], None]:
    """Change the epsilon of the normalization `only`, or of all."""

    def apply(folder: Path) -> None:
        with disk.graph(folder, part) as model:
            for node in model.graph:
                if node.op_type == "LayerNormalization" and _reads(node, only):
                    node.attributes["epsilon"] = ir.AttrFloat32("epsilon", value)

    return apply


def attention_scale(part: Part, stem: str, factor: float) -> Callable[[Path], None]:
    """Multiply the scores of the attention whose output goes into `stem`.out_proj."""

    def apply(folder: Path) -> None:
        with disk.graph(folder, part) as model:
            node = _attention(model, stem)
            if node.op_type == "Softmax":
                scores = node.inputs[0]
                assert scores is not None
                maker = scores.producer()
                assert maker is not None
                product = maker.inputs[0] if maker.op_type == "Add" else scores
                assert product is not None
                disk.after(product, "Mul", np.array(factor, disk.floats(model)))
            else:
                scale = node.attributes["scale"].as_float()
                node.attributes["scale"] = ir.AttrFloat32("scale", scale * factor)

    return apply


def look_ahead(folder: Path) -> None:
    """Let every token see the next one, or all: the mask is off by one, or causality is dropped."""
    with disk.graph(folder, "decoder") as model:
        causal = [one for one in model.graph if "unidirectional" in one.attributes]
        for node in causal:
            node.attributes.pop("unidirectional")
        if not causal:
            visible = disk.node(model, "LessOrEqual")
            disk.before(visible, 1, "Add", np.array(1, np.int32))


def cache_late(folder: Path) -> None:
    """Write keys and values one slot later than they are looked for."""
    with disk.graph(folder, "decoder") as model:
        lengths = {one for one in model.graph if one.op_type == "GroupQueryAttention"}
        if lengths:
            shared = next(iter(lengths)).inputs[5]
            assert shared is not None
            disk.after(shared, "Add", np.array(1, np.int32))
            return
        age = disk.node(model, "Sub", "slots")
        disk.before(age, 1, "Add", np.array(1, np.int32))


def swap_caches(kind: str) -> Callable[[Path], None]:
    """Let the first two layers read each other's cache: `self` or `cross`."""

    def apply(folder: Path) -> None:
        with disk.graph(folder, "decoder") as model:
            inputs = {value.name: value for value in model.graph.inputs}
            for word in ("key", "value"):
                one, other = (inputs[f"past_{word}_{kind}_{layer}"] for layer in (0, 1))
                readers = [(use.node, use.idx, other) for use in one.uses()]
                readers += [(use.node, use.idx, one) for use in other.uses()]
                for node, place, value in readers:
                    if node.op_type != "Shape":
                        node.replace_input_with(place, value)

    return apply


def wrong_cross_cache(folder: Path) -> None:
    """Let the first layer read the audio as the second does."""
    with disk.graph(folder, "decoder") as model:
        inputs = {value.name: value for value in model.graph.inputs}
        for word in ("key", "value"):
            for use in list(inputs[f"past_{word}_cross_0"].uses()):
                use.node.replace_input_with(use.idx, inputs[f"past_{word}_cross_1"])


def weightless(part: Part) -> Callable[[Path], None]:
    """Let a position that stands for many count as one."""

    def apply(folder: Path) -> None:
        with disk.graph(folder, part) as model:
            if part == "encoder":
                disk.after(disk.node(model, "Log").outputs[0], "Mul", np.array(0, np.float32))
                return
            taken = [x for x in model.graph.inputs if x.name == "past_bias_cross"]
            if not taken:
                raise InapplicableError("no spans")
            disk.after(taken[0], "Mul", np.array(0, np.float32))

    return apply


def spans_earlier(folder: Path) -> None:
    """Take the embedding of the position before the one that is meant; before the first, the last."""
    with disk.graph(folder, "encoder") as model:
        middles = disk.node(model, "Gather", "encoder.embed_positions.weight")
        disk.before(middles, 1, "Sub", np.array(1, np.int64))


def tanh_gelu(folder: Path) -> None:
    """Replace every Gelu by its approximation with a hyperbolic tangent."""
    for part in PARTS:
        with disk.graph(folder, part) as model:
            found = [one for one in model.graph if one.op_type == "Gelu" and not one.domain]
            if not found:
                raise InapplicableError("no Gelu of ai.onnx")
            for node in found:
                node.attributes["approximate"] = ir.AttrString("approximate", "tanh")


def bias_token(token: int, by: float) -> Callable[[Path], None]:
    """Add `by` to the logits of one token."""

    def apply(folder: Path) -> None:
        with disk.graph(folder, "decoder") as model:
            logits = next(value for value in model.graph.outputs if value.name == "logits")
            assert logits.shape is not None
            bias = np.zeros(int(str(logits.shape[2])), disk.floats(model))
            bias[token] = by
            disk.after(logits, "Add", bias)

    return apply


def _attention(model: ir.Model, stem: str) -> ir.Node:
    """Return the attention, or its Softmax, whose result the product `stem`.out_proj reads."""
    add = disk.node(model, "Add", f"{stem}.out_proj.bias")
    todo = list(add.inputs)
    while todo:
        value = todo.pop(0)
        maker = value.producer() if value is not None else None
        if maker is None:
            continue
        if maker.op_type in (*_ATTENTION, "Softmax"):
            return maker
        todo += maker.inputs
    raise InapplicableError(f"no attention before {stem}.out_proj")


def _reads(node: ir.Node, stem: str) -> bool:
    return any(x is not None and (x.name or "").startswith(stem) for x in node.inputs[1:])
