"""Causal GroupQueryAttention -> standard operators over a static or a growing cache."""

from typing import Literal

import numpy as np
import onnx_ir as ir

from whisperopt.graph.canvas import Canvas
from whisperopt.passes.attention import Attention, unscalable
from whisperopt.passes.caches import grouped_heads, grow_caches, past_length
from whisperopt.passes.rewrite import canvas_for, nodes, none_left, replace

# Far below any score, and still finite in fp16.
_MASKED = -10_000.0


class GqaToDecomposed:
    """GroupQueryAttention(q, k, v, past) -> Softmax(scale q k^T + mask) v, in standard operators.

    1. `static`: the cache keeps its length C; present = Where(slot >= past, new, past)
    2. `concat`: the cache grows; present = Concat(past, new), and the input
       `past_sequence_length` gives way to the length of the past

    Slots after the last token hold copies of it: the mask hides them until they are overwritten.
    """

    def __init__(self, cache: Literal["static", "concat"]) -> None:
        """Choose the form of the cache."""
        self.cache = cache

    def requires(self, model: ir.Model) -> str | None:
        """Every head needs a key/value head of its own, every query a layer of its own."""
        return grouped_heads(model) or unscalable(model, "GroupQueryAttention")

    def apply(self, model: ir.Model) -> None:
        """Rewrite every GroupQueryAttention; positions and mask are drawn once and shared."""
        found = nodes(model, "GroupQueryAttention")
        if not found:
            return
        if self.cache == "concat":
            grow_caches(model)
        plan = _Plan(model, found[0], self.cache)
        for node in found:
            canvas = canvas_for(model, f"{node.name}/")
            attention = Attention.of(canvas, node)
            query, key, value, past_key, past_value = node.inputs[:5]
            q = attention.scaled_heads(query)
            k = plan.append(canvas, past_key, attention.heads_of(key))
            v = plan.append(canvas, past_value, attention.heads_of(value))
            replace(node, canvas, [attention.attend(q, k, v, plan.mask), k, v])

    def ensures(self, model: ir.Model) -> str | None:
        """No GroupQueryAttention is left."""
        return none_left(model, "GroupQueryAttention")


class _Plan:
    """The lengths that all layers share, drawn before the first attention."""

    def __init__(self, model: ir.Model, first: ir.Node, cache: str) -> None:
        canvas = canvas_for(model, "cache/")
        op = canvas.op
        ids = next(value for value in model.graph.inputs if value.name == "input_ids")
        past = past_length(model, canvas)
        new = op("Cast", op("Shape", ids, start=1, end=2), to=int(ir.DataType.INT32))
        zero = canvas.constant("zero_scalar", np.array(0, np.int32))
        one = canvas.constant("one_scalar", np.array(1, np.int32))
        steps = op("Range", zero, op("Squeeze", new), one)
        self.static = cache == "static"
        if self.static:
            capacity = int(model.graph.outputs[1].shape[2])  # type: ignore[index, arg-type]  # authored
            slots = canvas.constant("slots", np.arange(capacity, dtype=np.int32))
            age = op("Sub", slots, past)
            self.is_new = op("Unsqueeze", op("GreaterOrEqual", age, zero), canvas.ints(1))
            self.source = op("Min", op("Max", age, zero), op("Sub", new, one))
        else:
            slots = op("Range", zero, op("Squeeze", op("Add", past, new)), one)
        positions = op("Unsqueeze", op("Add", steps, past), canvas.ints(1))
        visible = op("LessOrEqual", slots, positions)
        cache_type = first.inputs[3].dtype if first.inputs[3] else None
        number = (cache_type or ir.DataType.FLOAT).numpy()
        open_, closed = (
            canvas.constant(name, np.array(value, number))
            for name, value in (("mask_open", 0.0), ("mask_closed", _MASKED))
        )
        self.mask = op("Where", visible, open_, closed)
        _insert_before(first, canvas)

    def append(self, canvas: Canvas, past: ir.Value | None, new: ir.Value) -> ir.Value:
        if not self.static:
            return canvas.op("Concat", past, new, axis=2)
        return canvas.op("Where", self.is_new, canvas.op("Gather", new, self.source, axis=2), past)


def _insert_before(node: ir.Node, canvas: Canvas) -> None:
    if node.graph is not None:
        node.graph.insert_before(node, canvas.nodes)
