"""What every pass is, how passes are run, and the few moves that they share."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from whisperopt.errors import WhisperoptError
from whisperopt.graph.canvas import Array, Canvas, lazy, made_by

_NEWEST_OF_IR_10 = 22
"""The newest opset that was published together with ONNX's file format of version 10."""


class Pass(Protocol):
    """One rewrite of a graph, in place."""

    def requires(self, model: ir.Model) -> str | None:  # noqa: ARG002  # most ask for nothing
        """Return why `model` cannot be rewritten, or None."""
        return None

    def apply(self, model: ir.Model) -> None:
        """Rewrite `model`; on a model that was already rewritten this changes nothing."""

    def ensures(self, model: ir.Model) -> str | None:
        """Return what is still not as promised, or None."""


class Lowering(Pass, Protocol):
    """One that leaves no node of the operator `lowered`."""

    lowered: str

    def ensures(self, model: ir.Model) -> str | None:
        """No node of the operator is left."""
        left = len(nodes(model, self.lowered))
        return f"{left} {self.lowered} nodes are left" if left else None


class PassError(WhisperoptError):
    """A pass could not be applied, or broke its promise."""


def run(model: ir.Model, passes: Sequence[Pass]) -> ir.Model:
    """Apply `passes` in order, each between its two checks, and return `model`."""
    done: list[str] = []
    for step in passes:
        name = type(step).__name__
        after = f" after {', '.join(done)}" if done else ""
        if reason := step.requires(model):
            raise PassError(f"{name} cannot rewrite the {model.graph.name}{after}: {reason}")
        step.apply(model)
        RemoveUnusedNodesPass()(model)
        if reason := step.ensures(model):
            raise PassError(f"{name} left the {model.graph.name} unfinished{after}: {reason}")
        done.append(name)
    return model


def nodes(model: ir.Model, op_type: str) -> list[ir.Node]:
    """Return all nodes of one operator, in graph order."""
    return [node for node in model.graph if node.op_type == op_type]


def canvas_for(model: ir.Model, prefix: str) -> Canvas:
    """Return a canvas whose drawing can replace nodes of `model`."""
    return Canvas(prefix, model.graph.initializers)


def insert_before(node: ir.Node, canvas: Canvas) -> None:
    """Put the drawing of `canvas` before `node`."""
    if node.graph is not None:
        node.graph.insert_before(node, canvas.nodes)


def need_opset(model: ir.Model, opset: int) -> None:
    """Let `model` use what came with `opset`; operators drawn for an older one mean the same."""
    versions = model.graph.opset_imports
    versions[""] = max(versions[""], opset)
    if versions[""] > _NEWEST_OF_IR_10:
        model.ir_version = max(model.ir_version, 11)


def replace(node: ir.Node, canvas: Canvas, values: Sequence[ir.Value]) -> None:
    """Put the drawing of `canvas` in the place of `node`; `values` take over its outputs' roles."""
    graph = node.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"{node.name} is in no graph")
    for old, new in zip(node.outputs, values, strict=True):
        new.name, new.type, new.shape = old.name, old.type, old.shape
    ir.convenience.replace_nodes_and_values(
        graph, node, [node], canvas.nodes, node.outputs, values
    )


def linear(value: ir.Value | None) -> tuple[ir.Value, ...]:
    """Return weight and bias, if any, of the linear layer x W + b that produces `value`.

    Nothing is returned where there is none, or where something else uses it too.
    """
    used, biases = [value], list[ir.Value | None]()
    if added := made_by(value, "Add"):
        value, bias = added.inputs
        used.append(value)
        biases.append(bias)
    product = made_by(value, "MatMul")
    if product is None:
        return ()
    parts = [product.inputs[1], *biases]
    private = all(len(x.uses()) == 1 for x in (*used, *parts) if x)
    found = tuple(part for part in parts if part is not None and part.const_value is not None)
    return found if private and len(found) == len(parts) else ()


def mapped(
    tensor: ir.TensorProtocol,
    change: Callable[[Array], Array],
    *,
    shape: Sequence[int] | None = None,
    dtype: ir.DataType | None = None,
) -> ir.LazyTensor:
    """Return what `change` makes of `tensor`, once it is written; `shape` and `dtype` if other."""
    shape = tensor.shape.numpy() if shape is None else shape
    return lazy(tensor.name or "", shape, lambda: change(tensor.numpy()), dtype or tensor.dtype)


def retype(
    model: ir.Model,
    old: Collection[ir.DataType],
    new: ir.DataType,
    convert: Callable[[ir.TensorProtocol], ir.TensorProtocol],
) -> None:
    """Declare every value of the types `old` as `new`, and `convert` the weights."""
    graph = model.graph
    for value in graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype in old:
            value.const_value = convert(value.const_value)
    outputs = [output for node in graph for output in node.outputs]
    for value in [*graph.inputs, *graph.initializers.values(), *outputs]:
        if value.dtype in old:
            value.type = ir.TensorType(new)
