"""The weights that a graph computes with, laid out alike in whatever form they are stored."""

from collections.abc import Iterator

import msgspec
import numpy as np
import onnx_ir as ir

from whisperopt.graph.canvas import Array, made_by
from whisperopt.runtime.arrays import Floats
from whisperopt.static_checks.weights import unpacking
from whisperopt.static_checks.weights.unpacking import PACKED

_PRODUCTS = ("MatMul", "Gemm", "FusedMatMul", *(op for op in PACKED if "MatMul" in op))


class StoredWeight(msgspec.Struct, frozen=True, kw_only=True):
    """One constant input of a node that computes something at run time."""

    node: ir.Node
    value: ir.Value
    scales: ir.Value | None
    zeros: ir.Value | None
    product: bool
    """Whether it is the weight of a product: then it reads as [out, in]."""
    sources: dict[str, ir.TensorProtocol]
    """The tensors that it is made of by their names, the largest first."""

    @property
    def dtype(self) -> ir.DataType:
        """What its numbers are stored as."""
        return next(iter(self.sources.values())).dtype

    @property
    def size(self) -> int:
        """How many numbers its largest tensor has."""
        return next(iter(self.sources.values())).size

    @property
    def scale_count(self) -> int:
        """How many scales it has: more than 0 if it is stored as whole numbers."""
        floats = [x.size for x in self.sources.values() if x.dtype.is_floating_point()]
        return max(floats, default=0) if self.dtype.is_integer() else 0

    @property
    def readable(self) -> bool:
        """Whether it is weights, in a form that is known."""
        weights = self.dtype.is_floating_point() or self.scale_count > 0
        return weights and (self.scales is None or unpacking.known(self.node))

    def read(self) -> Floats:
        """Return it as float32: [out, in] for products, else as it lies without sides of 1."""
        array = fold(self.value)
        if self.scales is not None:
            zeros = None if self.zeros is None else fold(self.zeros)
            array = unpacking.unpack(self.node, array, fold(self.scales), zeros)
        found = np.asarray(array, np.float32)
        found = found.reshape([size for size in found.shape if size > 1])
        return found.T if self.product and self.outputs_last else found

    def release(self) -> None:
        """Unmap the file behind it: what was read of it counts as this process's memory."""
        for tensor in self.sources.values():
            if isinstance(tensor, ir.ExternalTensor):
                tensor.release()

    @property
    def outputs_last(self) -> bool:
        """Whether a product's weight lies as [in, out]."""
        if self.node.op_type == "MatMulNBits" or self.node.inputs[0] is self.value:
            return False
        return not self.node.attributes.get_int("transB", 0)


def stored_weights(model: ir.Model) -> Iterator[StoredWeight]:
    """Yield every constant that some node of `model` computes with, subgraphs included."""
    constants = _Constants()
    nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
    steps = {found[1] for node in nodes if (found := unpacking.words(node))}
    for node in nodes:
        if constants.computes(node) or (node.op_type == "Gather" and node.inputs[0] in steps):
            continue
        places = PACKED.get(node.op_type)
        for index, value in enumerate(node.inputs):
            if value is None or value not in constants or (places and index in places[1:]):
                continue
            packed = places is not None and index == places[0]
            scales = _scales(node, places[1], constants) if places and packed else None
            sources = _made_of(value)[0] | (_made_of(scales)[0] if scales is not None else {})
            sources = dict(sorted(sources.items(), key=lambda item: -item[1].size))
            matrix = len(next(iter(sources.values())).shape) > 1
            weight = matrix and (scales is not None or index < 2)
            yield StoredWeight(
                node=node,
                value=value,
                scales=scales,
                zeros=_input(node, places[2]) if places and packed else None,
                product=weight and node.op_type in _PRODUCTS,
                sources=sources,
            )


def fold(value: ir.Value) -> Array:
    """Compute a constant."""
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is not None:
        return tensor.numpy()
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    tensors, nodes = _made_of(value)
    graph = nodes[-1].graph
    opset = graph.opset_imports.get("") if graph is not None else None
    function = helper.make_function(
        domain="folded",
        fname="folded",
        inputs=list(tensors),
        outputs=[value.name or ""],
        nodes=[ir.serde.serialize_node(node) for node in nodes],
        opset_imports=[helper.make_opsetid("", opset or 20)],
    )
    feeds = {name: tensor.numpy() for name, tensor in tensors.items()}
    (folded,) = ReferenceEvaluator(function).run(None, feeds, attributes={})
    return np.asarray(folded)


class _Constants:
    """Tells which values of a graph are the same in every run."""

    def __init__(self) -> None:
        self._known: dict[ir.Value, bool] = {}

    def __contains__(self, value: ir.Value) -> bool:
        if value not in self._known:
            made = value.producer()
            fixed = made is not None and (made.op_type == "Constant" or self.computes(made))
            given = value.const_value is not None and not value.is_graph_input()
            self._known[value] = fixed or given
        return self._known[value]

    def computes(self, node: ir.Node) -> bool:
        """Say whether `node` computes a constant, by a standard operator without a body."""
        given = [value for value in node.inputs if value is not None]
        body = any(x.type == ir.AttributeType.GRAPH for x in node.attributes.values())
        return not node.domain and not body and bool(given) and all(x in self for x in given)


def _made_of(value: ir.Value) -> tuple[dict[str, ir.TensorProtocol], list[ir.Node]]:
    """Return the tensors that a constant is computed from, and by which nodes, in order."""
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is not None:
        return {value.name or "": tensor}, []
    tensors: dict[str, ir.TensorProtocol] = {}
    nodes: dict[ir.Node, None] = {}
    producer = value.producer()
    for part in producer.inputs if producer is not None else ():
        if part is not None:
            inner, before = _made_of(part)
            tensors |= inner
            nodes |= dict.fromkeys(before)
    return tensors, [*nodes, *([] if producer is None else [producer])]


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _scales(node: ir.Node, index: int | None, constants: _Constants) -> ir.Value | None:
    """Return the constant scales of a packed weight, or None."""
    if index is not None:
        value = _input(node, index)
    elif node.op_type == "Gather":
        found = unpacking.words(node)
        value = found[1] if found else None
    else:
        value = _applied_later(node, constants)
    return value if value is not None and value in constants else None


def _applied_later(node: ir.Node, constants: _Constants) -> ir.Value | None:
    """Return what MatMulInteger's output is multiplied by: Cast(y) * (scale_x * scale)."""
    readers = [use.node for use in node.outputs[0].uses()]
    if readers and readers[0].op_type == "Cast":
        readers = [use.node for use in readers[0].outputs[0].uses()]
    factors = [x for reader in readers if reader.op_type == "Mul" for x in reader.inputs if x]
    for factor in factors:
        if factor in constants:
            return factor
        if made := made_by(factor, "Mul"):
            factors += [x for x in made.inputs if x is not None and x in constants]
    return None
