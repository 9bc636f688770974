"""A thin pen over onnx-ir's tape: draws named nodes, weights and constants into one graph."""

import math
from collections.abc import Callable, MutableMapping, Sequence
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.tape import Tape

MICROSOFT = "com.microsoft"
OPSET = 20
IR_VERSION = 10

Dim = int | str
Array = npt.NDArray[np.generic]
Number = TypeVar("Number", bound=np.generic)
_ROWS = 16
"""Rows that a processor's nearest cache holds a piece of at the same time."""


class Canvas:
    """Collects nodes and initializers until `model` makes a graph of them."""

    def __init__(
        self, prefix: str = "", initializers: MutableMapping[str, ir.Value] | None = None
    ) -> None:
        """Start an empty drawing; `prefix` opens every node's name.

        A pass hands in the `initializers` of the graph that it rewrites.
        """
        self._tape = Tape()
        self.initializers = {} if initializers is None else initializers
        self.prefix = prefix

    @property
    def nodes(self) -> Sequence[ir.Node]:
        """What was drawn so far."""
        return self._tape.nodes

    def weight(
        self, name: str, shape: Sequence[int], read: Callable[[], Array], *, dtype: ir.DataType
    ) -> ir.Value:
        """Add an initializer whose bytes `read` fetches only while the graph is written."""
        return self._initializer(name, lazy(name, shape, read, dtype))

    def constant(self, name: str, array: Array) -> ir.Value:
        """Add a small initializer; the same name twice must mean the same array."""
        if name in self.initializers:
            return self.initializers[name]
        return self._initializer(name, ir.Tensor(np.asarray(array), name=name))

    def ints(self, *values: int) -> ir.Value:
        """Add an int64 vector, as shapes and axes are written."""
        return self.constant("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def op(self, op_type: str, *inputs: ir.Value | None, **more: Any) -> ir.Value:
        """Draw a node with one output; what else `node` takes may be given too."""
        return self.node(op_type, inputs, **more)[0]

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        *,
        domain: str = "",
        outputs: int = 1,
        name: str | None = None,
        **attributes: Any,
    ) -> Sequence[ir.Value]:
        """Draw any node and return its outputs."""
        name = name or f"{self.prefix}{op_type}_{len(self.nodes)}"
        drawn = self._tape.op_multi_out(
            op_type, inputs, attributes, num_outputs=outputs, domain=domain, name=name
        )
        for position, output in enumerate(drawn):
            output.name = f"{name}_out{position}"
        return drawn

    def model(
        self, name: str, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]
    ) -> ir.Model:
        """Make the graph of everything drawn so far."""
        graph = ir.Graph(
            inputs,
            outputs,
            nodes=self.nodes,
            initializers=list(self.initializers.values()),
            opset_imports={"": OPSET, MICROSOFT: 1},
            name=name,
        )
        return ir.Model(graph, ir_version=IR_VERSION, producer_name="whisperopt")

    def _initializer(self, name: str, tensor: ir.TensorProtocol) -> ir.Value:
        self.initializers[name] = self._tape.initializer(tensor, name)
        return self.initializers[name]


class _Strided(ir.Tensor[Array]):
    """A tensor that is put in order only where its bytes are asked for: many are transposed."""

    def tobytes(self) -> bytes:
        return self._ordered().tobytes()

    def tofile(self, file: IO[bytes]) -> None:
        self._ordered().tofile(file)

    def _ordered(self) -> "ir.Tensor[Array]":
        return ir.Tensor(contiguous(self.numpy()), name=self.name)


def lazy(
    name: str, shape: Sequence[int], read: Callable[[], Array], dtype: ir.DataType
) -> ir.LazyTensor:
    """Return a tensor that is read when it is written, and not kept."""

    def load() -> "ir.Tensor[Array]":
        array = read()
        if array.size != math.prod(shape):
            raise ValueError(f"{name} has shape {array.shape}, not {tuple(shape)}")
        return _Strided(array.reshape(shape), name=name)

    return ir.LazyTensor(load, dtype=dtype, shape=ir.Shape(shape), name=name)


def contiguous(array: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return `array` in C order; transposed matrices a few rows at a time, thrice as fast."""
    if array.ndim != 2 or array.flags.c_contiguous or not array.flags.f_contiguous:
        return np.ascontiguousarray(array)
    ordered = np.empty(array.shape, array.dtype)
    for start in range(0, array.shape[1], _ROWS):
        ordered[:, start : start + _ROWS] = array[:, start : start + _ROWS]
    return ordered


def typed(value: ir.Value, dtype: ir.DataType, shape: Sequence[Dim]) -> ir.Value:
    """Declare what shape inference cannot know: the outputs of contributed operators."""
    value.type = ir.TensorType(dtype)
    value.shape = ir.Shape(shape)
    return value


def graph_input(name: str, dtype: ir.DataType, shape: Sequence[Dim]) -> ir.Value:
    """Make a graph input."""
    return typed(ir.Value(name=name), dtype, shape)


def input_called(model: ir.Model, name: str) -> ir.Value | None:
    """Return the input of the graph called `name`, or None."""
    return next((value for value in model.graph.inputs if value.name == name), None)


def made_by(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """Return the node that makes `value`, if its operator is `op_type`."""
    made = value.producer() if value is not None else None
    return made if made is not None and made.op_type == op_type else None
