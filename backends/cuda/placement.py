"""Judges where ONNX Runtime's partitioner put the nodes of a graph: a pure function with reasons."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from whisperopt.runtime.provider import CPU

if TYPE_CHECKING:
    import onnx_ir as ir

CUDA = "CUDAExecutionProvider"
TO_DEVICE = "to the device"
_FEW = 8
_SCALAR_ARITHMETIC = {
    *("Shape", "Size", "Gather", "Slice", "Squeeze", "Unsqueeze", "Concat", "Reshape", "Cast"),
    *("Add", "Sub", "Mul", "Div", "Min", "Max", "Equal", "Where", "Identity"),
}
"""What ONNX Runtime itself prefers to compute on the CPU when it is about a few integers."""
_PRECISIONS = {"FLOAT": "fp32", "FLOAT16": "fp16", "BFLOAT16": "bf16"}


class PlacedNode(msgspec.Struct, frozen=True, array_like=True):
    """Where one node went."""

    name: str
    op: str
    """The operator with its domain, which is left out for ai.onnx."""
    provider: str


class Copy(msgspec.Struct, frozen=True, array_like=True):
    """One tensor that the runtime moves between host and device in every run."""

    direction: str
    tensor: str
    dtype: str | None = None
    """ONNX's name of the element type, e.g. `INT32`."""
    shape: tuple[int | str, ...] | None = None


class Placed(msgspec.Struct, frozen=True):
    """What the partitioner made of one graph: the answer of `partition.py`."""

    refused: str = ""
    """Why there is no session; empty if there is one."""
    providers: tuple[str, ...] = ()
    nodes: tuple[PlacedNode, ...] = ()
    copies: tuple[Copy, ...] = ()

    def summary(self) -> str:
        """Return the number of nodes by provider, and of copies."""
        counts = Counter(node.provider.removesuffix("ExecutionProvider") for node in self.nodes)
        nodes = [f"{count} on {name}" for name, count in counts.most_common()]
        copies = Counter(copy.direction for copy in self.copies)
        moved = [f"{count} copied {direction}" for direction, count in copies.items()]
        return ", ".join([*nodes, *(moved or ["none copied"])])


class Value(msgspec.Struct, frozen=True):
    """Type and shape of a tensor, as far as they are known."""

    dtype: str | None = None
    """ONNX's name of the element type, e.g. `INT32`."""
    shape: tuple[int | str, ...] | None = None

    def few_integers(self) -> bool | None:
        """Say whether it is a handful of integers or booleans; None when that is unknown.

        A batch counts as one: lengths are given row by row.
        """
        if self.dtype is not None and not self.dtype.startswith(("INT", "UINT", "BOOL")):
            return False
        if self.dtype is None or self.shape is None:
            return None
        sizes = [1 if size == "batch" else size for size in self.shape]
        known = [size for size in sizes if isinstance(size, int)]
        return len(known) == len(sizes) and math.prod(known) <= _FEW


class Outline(msgspec.Struct, frozen=True):
    """What its author and inference know of a graph: operands of each node, values by name."""

    operands: Mapping[str, tuple[str, ...]] = {}
    values: Mapping[str, Value] = {}

    @classmethod
    def of(cls, graph: "ir.Model") -> "Outline":
        """Infer what there is to know of `graph`; weights are not read."""
        from whisperopt.graph.inference import inferred

        operands: dict[str, tuple[str, ...]] = {}
        values: dict[str, Value] = {}
        for node in inferred(graph).graph:
            found = [value for value in (*node.inputs, *node.outputs) if value is not None]
            operands[node.name or ""] = tuple(value.name or "" for value in found)
            values |= {value.name or "": _value(value) for value in found}
        return cls(operands, values)

    def few_integers(self, node: PlacedNode) -> bool:
        """Say whether nothing speaks against `node` being about a few integers only."""
        names = self.operands.get(node.name, ())
        return all(self.values[name].few_integers() is not False for name in names)

    def precision(self, node: PlacedNode) -> str | None:
        """Return the precision that `node` computes in, e.g. `fp32`; None for none or unknown."""
        types = (self.values[name].dtype for name in self.operands.get(node.name, ()))
        return next((_PRECISIONS[dtype] for dtype in types if dtype in _PRECISIONS), None)


def judge(placed: Placed, outline: Outline) -> tuple[str, ...]:
    """Return what is wrong with where the nodes of a graph went; nothing if it is as it should be.

    1. There is a session, on the GPU
    2. The CPU computes nothing but a few integers, such as lengths
    3. At most one tensor is copied to the device in a run, and that is lengths; none to the host
    """
    if placed.refused:
        return (f"ONNX Runtime refuses it: {placed.refused}",)
    if CUDA not in placed.providers:
        listed = ", ".join(placed.providers) or "no provider"
        return (f"the session silently has only {listed}: {CUDA} did not load",)
    if not placed.nodes:
        return ("ONNX Runtime does not say where the nodes are",)
    strangers = [node for node in placed.nodes if not _at_home(node, outline)]
    return _misplaced(strangers, placed, outline) or _miscopied(placed.copies, outline)


def _at_home(node: PlacedNode, outline: Outline) -> bool:
    arithmetic = node.op in _SCALAR_ARITHMETIC and outline.few_integers(node)
    return node.provider == CUDA or (node.provider == CPU and arithmetic)


def _misplaced(nodes: Sequence[PlacedNode], placed: Placed, outline: Outline) -> tuple[str, ...]:
    counts = Counter((node.op.rpartition(".")[2], outline.precision(node)) for node in nodes)
    reasons = []
    for (op, precision), count in counts.most_common():
        cause = f"has no {precision} kernel on CUDA" if precision else "is more than lengths"
        times = "once" if count == 1 else f"{count} times"
        copies = f"{len(placed.copies)} copies in every run"
        reasons.append(f"{op} {cause}: it lands on the CPU {times}, with {copies}")
    return tuple(reasons)


def _miscopied(copies: Sequence[Copy], outline: Outline) -> tuple[str, ...]:
    large = [copy for copy in copies if not _is_lengths(copy, outline)]
    lengths = [copy for copy in copies if copy not in large]
    reasons = []
    for direction in sorted({copy.direction for copy in large}):
        names = _listed([copy.tensor for copy in large if copy.direction == direction])
        reasons.append(f"copied {direction} in every run: {names}")
    if len(lengths) > 1:
        names = _listed([copy.tensor for copy in lengths])
        reasons.append(f"{len(lengths)} copies of lengths in every run, one would do: {names}")
    return tuple(reasons)


def _is_lengths(copy: Copy, outline: Outline) -> bool:
    few = outline.values.get(copy.tensor, Value()).few_integers()
    few = Value(copy.dtype, copy.shape).few_integers() if few is None else few
    return copy.direction == TO_DEVICE and bool(few)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _value(value: "ir.Value") -> Value:
    dtype = value.dtype.name if value.dtype else None
    if value.shape is None:
        return Value(dtype)
    sizes = (size if isinstance(size, int) else str(size.value or "?") for size in value.shape)
    return Value(dtype, tuple(sizes))
