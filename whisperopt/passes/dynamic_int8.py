"""8-bit weights per column with activations rounded on the fly: DynamicQuantizeMatMul."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.graph.canvas import MICROSOFT, typed
from whisperopt.passes.rewrite import canvas_for, replace, weighted_matmuls

# Without VNNI, products of unsigned activations and full-range signed weights saturate in 16 bits:
# 7-bit weights cannot.
_LIMIT = 64


class DynamicInt8:
    """MatMul(x, W) -> DynamicQuantizeMatMul(x, W8, scales): W8 is 7-bit signed, one scale a column.

    Pays where many rows share the rounding of activations: in the encoder.
    """

    def requires(self, model: ir.Model) -> str | None:  # noqa: ARG002  # any MatMul can be rewritten
        """Nothing is required."""
        return None

    def apply(self, model: ir.Model) -> None:
        """Rewrite every MatMul by a weight stored [in, out]."""
        for node, weight, transposed in list(weighted_matmuls(model)):
            tensor = weight.const_value
            if transposed or tensor is None:
                continue
            canvas = canvas_for(model, f"{node.name}/")
            rows, columns = (int(d) for d in tensor.shape)
            read = _Columns(tensor)
            quantized = canvas.weight(
                f"{weight.name}_int8", [rows, columns], read.rounded, dtype=ir.DataType.INT8
            )
            scales = canvas.weight(
                f"{weight.name}_scales", [columns], read.scales, dtype=ir.DataType.FLOAT
            )
            zeros = canvas.constant(f"int8_zeros_{columns}", np.zeros(columns, np.int8))
            (output,) = canvas.node(
                "DynamicQuantizeMatMul",
                [node.inputs[0], quantized, scales, zeros],
                domain=MICROSOFT,
            )
            typed(output, ir.DataType.FLOAT, ["batch", "sequence", columns])
            replace(node, canvas, [output])

    def ensures(self, model: ir.Model) -> str | None:
        """No MatMul by a float weight is left."""
        left = [node.name for node, _, transposed in weighted_matmuls(model) if not transposed]
        return f"{left[0]} still has a float weight" if left else None


class _Columns:
    """One weight [in, out], rounded column by column when it is written."""

    def __init__(self, tensor: ir.TensorProtocol) -> None:
        self.tensor = tensor

    def scales(self) -> npt.NDArray[np.float32]:
        peaks = np.abs(self.tensor.numpy()).max(axis=0)
        return np.where(peaks == 0, 1, peaks / np.float32(_LIMIT)).astype(np.float32)

    def rounded(self) -> npt.NDArray[np.int8]:
        return np.rint(self.tensor.numpy() / self.scales()).astype(np.int8)
