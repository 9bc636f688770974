"""What the passes that change the form of the self-attention cache have in common."""

import onnx_ir as ir

from whisperopt.graph.canvas import Canvas
from whisperopt.passes.rewrite import canvas_for, nodes

_LENGTH_INPUT = "past_sequence_length"


def grouped_heads(model: ir.Model) -> str | None:
    """Return why the attention nodes cannot be rewritten head by head, or None."""
    for node in nodes(model, "GroupQueryAttention"):
        heads, kv_heads = (node.attributes[n].as_int() for n in ("num_heads", "kv_num_heads"))
        if heads != kv_heads:
            return f"{node.name} shares {kv_heads} key/value heads among {heads} heads"
    return None


def past_length(model: ir.Model, canvas: Canvas) -> ir.Value:
    """Return the number of past tokens int32 [1]: an input, or the length of a growing cache."""
    for value in model.graph.inputs:
        if value.name == _LENGTH_INPUT:
            return value
    first = next(value for value in model.graph.inputs if value.name == "past_key_self_0")
    length = canvas.op("Shape", first, start=2, end=3)
    return canvas.op("Cast", length, to=int(ir.DataType.INT32))


def grow_caches(model: ir.Model) -> None:
    """Make the cache inputs and outputs of any length, and derive the past's length from them."""
    graph = model.graph
    length = next((value for value in graph.inputs if value.name == _LENGTH_INPUT), None)
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
