"""Small graphs, sound and malicious, as ONNX writes them."""

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def outside(name: str = "w", *shape: int, kind: int = FLOAT, **where: str) -> TensorProto:
    """Return a tensor whose numbers lie in another file."""
    tensor = TensorProto(name=name, data_type=kind, dims=shape or (4,))
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in where.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def inside(name: str, *numbers: int, kind: int = INT64) -> TensorProto:
    """Return a tensor of numbers that the graph holds."""
    return helper.make_tensor(name, kind, [len(numbers)], numbers)


def node(op: str = "Identity", *inputs: str, domain: str = "", **attributes: Any) -> NodeProto:
    """Return a node that writes `y`."""
    return helper.make_node(op, list(inputs or ("x",)), ["y"], domain=domain, **attributes)


def graph(nodes: Sequence[NodeProto], tensors: Sequence[TensorProto] = ()) -> GraphProto:
    """Return a graph of `nodes` from `x` to `y`."""
    x, y = (helper.make_tensor_value_info(name, FLOAT, None) for name in "xy")
    return helper.make_graph(list(nodes), "g", [x], [y], initializer=list(tensors))


def model(*nodes: NodeProto, tensors: Sequence[TensorProto] = (), **more: Any) -> ModelProto:
    """Return a model of `nodes`; without any it only passes on what it gets."""
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    more = {"opset_imports": opsets} | more
    return helper.make_model(graph(nodes or [node()], tensors), **more)


def nested(depth: int) -> ModelProto:
    """Return a model of graphs in each other."""
    inner = graph([node()])
    for _ in range(depth):
        inner = graph([helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)])
    return helper.make_model(inner, opset_imports=[helper.make_opsetid("", 20)])


def with_function() -> ModelProto:
    """Return a model that defines an operator by itself."""
    made = model()
    made.functions.add(name="f", domain="").node.add(op_type="f")
    return made


def twice(attribute: AttributeProto) -> ModelProto:
    """Return a model whose one node has the `attribute` twice."""
    made = node("Constant")
    made.attribute.extend([attribute, attribute])
    return model(made)


def padded(size: int, word: bytes) -> bytes:
    """Return a sound model of about `size` bytes, made of a `word`."""
    return onnx.ModelProto.SerializeToString(model(doc_string=word.decode() * (size // len(word))))
