"""Single precision -> half precision, inputs and outputs included; and back, to see the peaks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir

from whisperopt.graph.canvas import Array, typed
from whisperopt.graph.core import PARTS, write
from whisperopt.graph.inference import inferred
from whisperopt.passes.rewrite import Pass, PassError, canvas_for, mapped, need_opset, retype

_FLOAT = ir.DataType.FLOAT
_HALF = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
# Conv takes bfloat16 since then.
_BF16_OPSET = 22
_PEAK = "peak/"


@dataclass(frozen=True)
class Half(Pass):
    """Every float32 weight and value -> float16 or bfloat16.

    Layer normalization keeps computing in float32 by its own rule (`stash_type`).
    """

    precision: Literal["fp16", "bf16"]
    """A fine grain, or a wide range."""

    def requires(self, model: ir.Model) -> str | None:
        """Casts to float32 would keep islands of single precision."""
        for node in model.graph:
            if node.op_type == "Cast" and node.attributes["to"].as_int() == _FLOAT:
                return f"{node.name} casts to float32"
        return None

    def apply(self, model: ir.Model) -> None:
        """Retype all values and convert weights when they are written."""
        if self.precision == "bf16":
            need_opset(model, _BF16_OPSET)
        retype(model, [_FLOAT], _HALF[self.precision], self._halved)

    def ensures(self, model: ir.Model) -> str | None:
        """No declared float32 is left."""
        for value in [*model.graph.initializers.values(), *model.graph.outputs]:
            if value.dtype == _FLOAT:
                return f"{value.name} is still float32"
        return None

    def _halved(self, tensor: ir.TensorProtocol) -> ir.LazyTensor:
        dtype = _HALF[self.precision]

        def halve(array: Array) -> Array:
            with np.errstate(over="ignore"):
                halved: Array = array.astype(dtype.numpy())
            if self.precision == "fp16" and np.isinf(halved).any():
                raise PassError(f"{tensor.name} holds numbers that do not fit into half precision")
            return halved

        return mapped(tensor, halve, dtype=dtype)


def write_twin(shipped: Path, folder: Path) -> None:
    """Write the graphs in `shipped` again in fp32, with the peak of every value as an output.

    It is made from the very graphs that ship, whoever wrote them.
    """
    folder.mkdir()
    for part in PARTS:
        write(_watched(widened(ir.load(shipped / f"{part}.onnx"))), folder / f"{part}.onnx")


def widened(model: ir.Model) -> ir.Model:
    """Turn all half precision into float32: weights, constants, casts and declared types."""
    halves = _HALF.values()
    for node in model.graph:
        for attribute in list(node.attributes.values()):
            if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in halves:
                wide = _as_float(attribute.as_tensor())
                node.attributes.add(ir.AttrTensor(attribute.name, wide))
        if node.op_type == "Cast" and node.attributes["to"].as_int() in halves:
            node.attributes.add(ir.AttrInt64("to", int(_FLOAT)))
    retype(model, halves, _FLOAT, _as_float)
    return model


def _as_float(tensor: ir.TensorProtocol) -> ir.LazyTensor:
    return mapped(tensor, lambda array: array.astype(np.float32), dtype=_FLOAT)


def _watched(model: ir.Model) -> ir.Model:
    """Add one scalar output `peak/<node>` with max|x| for every float output of every node."""
    model = inferred(model)
    canvas = canvas_for(model, _PEAK)
    for node in list(model.graph):
        if node.outputs[0].dtype is _FLOAT:
            peak = canvas.op("ReduceMax", canvas.op("Abs", node.outputs[0]), keepdims=0)
            peak.name = f"{_PEAK}{node.name}"
            model.graph.outputs.append(typed(peak, _FLOAT, []))
            # at once, or every value stays in memory until the end
            model.graph.insert_after(node, canvas.nodes[-2:])
    return model
