"""GroupQueryAttention over a shared buffer -> over a cache that grows."""

import onnx_ir as ir

from whisperopt.graph.canvas import Canvas, input_called
from whisperopt.passes.rewrite import canvas_for

_LENGTH = "past_sequence_length"


class GrowCaches:
    """The length of every self-attention cache becomes free; its operators stay.

    The input `past_sequence_length` gives way to the length of the past. For runtimes that cut the
    present of GroupQueryAttention to the tokens seen, such as OpenVINO where a length is dynamic.
    """

    def requires(self, model: ir.Model) -> str | None:
        """Nothing."""

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
        derived = past_length(model, canvas)
        graph.insert_before(graph[0], canvas.nodes)
        ir.convenience.replace_all_uses_with(length, derived)

    def ensures(self, model: ir.Model) -> str | None:
        """The past's length is no input any more."""
        return f"{_LENGTH} is still an input" if input_called(model, _LENGTH) else None


def past_length(model: ir.Model, canvas: Canvas) -> ir.Value:
    """Return the number of past tokens int32 [1]: an input, or the length of a growing cache."""
    given = input_called(model, _LENGTH)
    if given is not None:
        return given
    length = canvas.op("Shape", input_called(model, "past_key_self_0"), start=2, end=3)
    return canvas.op("Cast", length, to=int(ir.DataType.INT32))
