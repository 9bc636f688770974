"""Types and shapes of every value of a graph, also behind the operators that ONNX cannot infer."""

from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

_LIKE_THEIR_INPUT = ("Gelu", "BiasGelu", "FastGelu")


def inferred(graph: ir.Model) -> ir.Model:
    """Return a copy of `graph` with all types and shapes that its author and inference know.

    Tensors are shared with `graph`, and only the smallest are read. Operators of com.microsoft:
    weights in few bits and activations are inferred, attention is taken as its author declared it.
    """
    model, sketch = graph.clone(), graph.clone()
    for value in sketch.graph.initializers.values():
        if value.const_value is not None:
            value.type = ir.TensorType(value.const_value.dtype)
            value.shape = ir.Shape(value.const_value.shape.numpy())
    for node in ir.traversal.RecursiveGraphIterator(sketch.graph):
        _stand_in(node, sketch.graph)
    ShapeInferencePass(check_type=False, strict_mode=False)(sketch)
    known = {value.name: value for value in _values(sketch)}
    for value in _values(model):
        found = known[value.name]
        value.type = found.type or value.type
        value.shape = value.shape if found.shape is None else found.shape
    return model


def _values(model: ir.Model) -> list[ir.Value]:
    values: list[ir.Value] = []
    for graph in model.graphs():
        values += [*graph.inputs, *graph.initializers.values()]
        values += [output for node in graph for output in node.outputs]
    return values


def _stand_in(node: ir.Node, graph: ir.Graph) -> None:
    """Turn `node` into a standard one that yields the same type and shape."""
    if node.domain != "com.microsoft":
        return
    if node.op_type in _LIKE_THEIR_INPUT:
        _become(node, "Identity", node.inputs[:1])
    elif weight := _unpacked(node):
        graph.inputs.append(weight)
        if node.op_type == "GatherBlockQuantized":
            _become(node, "Gather", (weight, node.inputs[1]))
        else:
            _become(node, "MatMul", (node.inputs[0], weight))


def _become(node: ir.Node, op_type: str, inputs: Sequence[ir.Value | None]) -> None:
    axis = node.attributes.get_int("gather_axis")
    node.domain, node.op_type = "", op_type
    node.attributes.clear()
    if axis is not None:
        node.attributes.add(ir.AttrInt64("axis", axis))
    node.resize_inputs(len(inputs))
    for index, value in enumerate(inputs):
        node.replace_input_with(index, value)


def _unpacked(node: ir.Node) -> ir.Value | None:
    """Return a value like the node's weight if it were not packed, in the type of its scales."""
    match node.op_type:
        case "MatMulNBits":
            sizes = [node.attributes[name].as_int() for name in ("K", "N")]
            scales = node.inputs[2]
        case "DynamicQuantizeMatMul":
            sizes, scales = _sizes(node.inputs[1]), node.inputs[2]
        case "GatherBlockQuantized":
            sizes, scales = _sizes(node.inputs[2]), node.inputs[2]
            if sizes:  # one scale stands for one block
                axis = node.attributes.get_int("quantize_axis", 1)
                sizes[axis] *= node.attributes.get_int("block_size", 128)
        case _:
            return None
    if not sizes or scales is None or scales.dtype is None:
        return None
    name = f"{node.outputs[0].name}/unpacked"
    return ir.Value(name=name, type=ir.TensorType(scales.dtype), shape=ir.Shape(sizes))


def _sizes(value: ir.Value | None) -> list[int]:
    if value is None or value.shape is None or not value.shape.is_static():
        return []
    return [int(size) for size in value.shape.numpy()]
