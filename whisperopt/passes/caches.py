"""The self-attention cache in another form: growing, or kept in buffers of its own."""

from typing import Literal

import numpy as np
import onnx_ir as ir

from whisperopt.graph.canvas import Canvas, input_called
from whisperopt.passes.rewrite import Pass, canvas_for, insert_before, nodes

OwnBuffers = Literal["static", "concat"]
"""Forms of a cache whose past and present are two buffers: of a fixed length, or growing."""

_LENGTH = "past_sequence_length"
# Far below any score, and still finite in fp16.
_MASKED = -10_000.0


class GrowCaches(Pass):
    """The length of every self-attention cache becomes free; its operators stay.

    The input `past_sequence_length` gives way to the length of the past. For runtimes that cut the
    present of GroupQueryAttention to the tokens seen, such as OpenVINO where a length is dynamic.
    """

    def apply(self, model: ir.Model) -> None:
        """Free the lengths, and derive the past's from its cache."""
        graph, length = model.graph, input_called(model, _LENGTH)
        if length is None:
            return
        for values, axis_name in ((graph.inputs, "past"), (graph.outputs, "total")):
            for value in values:
                if value.name and "_self_" in value.name and value.shape is not None:
                    value.shape = ir.Shape([*value.shape[:2], axis_name, value.shape[3]])
        graph.inputs.remove(length)
        canvas = canvas_for(model, "past/")
        derived = _past_length(model, canvas)
        graph.insert_before(graph[0], canvas.nodes)
        ir.convenience.replace_all_uses_with(length, derived)

    def ensures(self, model: ir.Model) -> str | None:
        """The past's length is no input any more."""
        return f"{_LENGTH} is still an input" if input_called(model, _LENGTH) else None


def _past_length(model: ir.Model, canvas: Canvas) -> ir.Value:
    """Return the number of past tokens int32 [1]: an input, or the length of a growing cache."""
    given = input_called(model, _LENGTH)
    if given is not None:
        return given
    length = canvas.op("Shape", input_called(model, "past_key_self_0"), start=2, end=3)
    return canvas.op("Cast", length, to=int(ir.DataType.INT32))


class Slots:
    """Which slots of the cache a step fills and sees; drawn once, before the first attention.

    `mask` [S, T] is added to the scores of S new tokens over T slots: 0 where a token may look,
    -10000 where it may not.
    """

    def __init__(self, model: ir.Model, cache: OwnBuffers) -> None:
        """Draw positions and mask; caches of the form `concat` are made to grow."""
        if cache == "concat":
            GrowCaches().apply(model)
        first = nodes(model, "GroupQueryAttention")[0]
        canvas = canvas_for(model, "cache/")
        op = canvas.op
        past = _past_length(model, canvas)
        new = op("Shape", input_called(model, "input_ids"), start=1, end=2)
        new = op("Cast", new, to=int(ir.DataType.INT32))
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
        dtype = ((first.inputs[3].dtype if first.inputs[3] else None) or ir.DataType.FLOAT).numpy()
        allowed = canvas.constant("mask_open", np.array(0.0, dtype))
        masked = canvas.constant("mask_closed", np.array(_MASKED, dtype))
        self.mask = op("Where", visible, allowed, masked)
        insert_before(first, canvas)

    def append(self, canvas: Canvas, past: ir.Value | None, new: ir.Value) -> ir.Value:
        """Return the cache `past` [B, H, P, Dh] with `new` [B, H, S, Dh] after its last token.

        Slots of a static cache after the new tokens hold copies of the last one: the mask hides
        them until they are overwritten.
        """
        if not self.static:
            return canvas.op("Concat", past, new, axis=2)
        return canvas.op("Where", self.is_new, canvas.op("Gather", new, self.source, axis=2), past)
