"""What every pass is, how passes are run, and the few moves that they share."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from whisperopt.errors import WhisperoptError
from whisperopt.graph.canvas import Canvas, lazy

_NEWEST_OF_IR_10 = 22
"""The newest opset that was published together with ONNX's file format of version 10."""


class Pass(Protocol):
    """One rewrite of a graph, in place."""

    def requires(self, model: ir.Model) -> str | None:
        """Return why `model` cannot be rewritten, or None."""

    def apply(self, model: ir.Model) -> None:
        """Rewrite `model`; on a model that was already rewritten this changes nothing."""

    def ensures(self, model: ir.Model) -> str | None:
        """Return what is still not as promised, or None."""


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


def none_left(model: ir.Model, op_type: str) -> str | None:
    """Return the promise that a lowering pass makes about the operator it removes."""
    left = len(nodes(model, op_type))
    return f"{left} {op_type} nodes are left" if left else None


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
        msg = f"{node.name} is in no graph"
        raise TypeError(msg)
    for old, new in zip(node.outputs, values, strict=True):
        new.name, new.type, new.shape = old.name, old.type, old.shape
    ir.convenience.replace_nodes_and_values(
        graph, node, [node], canvas.nodes, node.outputs, values
    )


def linear(value: ir.Value | None) -> tuple[ir.Value, ...]:
    """Return weight and bias, if any, of the linear layer x W + b that produces `value`.

    Nothing is returned where there is none, or where something else uses it too.
    """
    parts: list[ir.Value | None] = []
    used = [value]
    node = value.producer() if value else None
    if node is not None and node.op_type == "Add":
        product, bias = node.inputs
        parts.append(bias)
        used.append(product)
        node = product.producer() if product else None
    if node is None or node.op_type != "MatMul":
        return ()
    parts.insert(0, node.inputs[1])
    private = all(len(x.uses()) == 1 for x in (*used, *parts) if x)
    found = tuple(part for part in parts if part is not None and part.const_value is not None)
    return found if private and len(found) == len(parts) else ()


def rescale(value: ir.Value, factor: float) -> None:
    """Fold `value * factor` into the linear layer that produces it: x (fW) + fb."""
    for part in linear(value):
        if part.const_value is not None:
            part.const_value = _scaled(part.const_value, factor)


def _scaled(tensor: ir.TensorProtocol, factor: float) -> ir.LazyTensor:
    def read() -> npt.NDArray[np.generic]:
        array = tensor.numpy()
        scaled: npt.NDArray[np.generic] = np.multiply(array, factor, dtype=array.dtype)
        return scaled

    return lazy(tensor.name or "", tensor.shape.numpy(), read, tensor.dtype)
