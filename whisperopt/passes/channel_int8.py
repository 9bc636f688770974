"""8-bit weights per output channel as DequantizeLinear: the standard form that compilers fold."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.graph.canvas import Canvas, typed
from whisperopt.passes.rewrite import canvas_for, weighted_matmuls

_FLOAT, _INT8 = ir.DataType.FLOAT, ir.DataType.INT8


class ChannelInt8:
    """W -> DequantizeLinear(W8, scales): signed 8-bit, one scale for each output channel.

    1. `MatMul(x, W)` with W [in, out]: scales along axis 1
    2. `MatMul(x, Transpose(E))` with E [out, in]: scales along axis 0, shared with Gather(E)
    """

    def requires(self, model: ir.Model) -> str | None:  # noqa: ARG002  # any MatMul can be rewritten
        """Nothing is required."""
        return None

    def apply(self, model: ir.Model) -> None:
        """Put a DequantizeLinear between every weight and all its uses."""
        for _, weight, transposed in list(weighted_matmuls(model)):
            tensor = weight.const_value
            if tensor is None:
                continue
            canvas = canvas_for(model, f"{weight.name}/")
            restored = _dequantized(canvas, weight.name or "", tensor, axis=0 if transposed else 1)
            model.graph.insert_before(model.graph[0], canvas.nodes)
            ir.convenience.replace_all_uses_with(weight, restored)

    def ensures(self, model: ir.Model) -> str | None:
        """No MatMul by a float weight is left."""
        left = [node.name for node, _, _ in weighted_matmuls(model)]
        return f"{left[0]} still has a float weight" if left else None


def _dequantized(
    canvas: Canvas, name: str, tensor: ir.TensorProtocol, *, axis: int
) -> ir.Value:
    shape = [int(d) for d in tensor.shape]

    def scales() -> npt.NDArray[np.float32]:
        peaks = np.abs(tensor.numpy()).max(axis=1 - axis)
        return np.where(peaks == 0, 1, peaks / np.float32(127)).astype(np.float32)

    def rounded() -> npt.NDArray[np.int8]:
        return np.rint(tensor.numpy() / np.expand_dims(scales(), 1 - axis)).astype(np.int8)

    inputs = [
        canvas.weight(f"{name}_int8", shape, rounded, dtype=_INT8),
        canvas.weight(f"{name}_scales", [shape[axis]], scales, dtype=_FLOAT),
        canvas.constant(f"int8_zeros_{shape[axis]}", np.zeros(shape[axis], np.int8)),
    ]
    (restored,) = canvas.node("DequantizeLinear", inputs, {"axis": axis})
    return typed(restored, _FLOAT, shape)
