"""8-bit weights in groups, spelled out in standard operators: the form that compilers keep packed."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.graph.canvas import Canvas, typed
from whisperopt.passes.rewrite import canvas_for, weighted_matmuls

GROUP = 32
"""Weights that share one scale, along the input channels."""
_FLOAT, _INT8 = ir.DataType.FLOAT, ir.DataType.INT8


class GroupInt8:
    """W -> Reshape(Cast(W8) * scales), with W8 [out, in / 32, 32] signed 8-bit.

    1. `MatMul(x, W)` with W [in, out]: the weight is stored [out, in] and transposed back
    2. `MatMul(x, Transpose(E))` with E [out, in]: shared with every other use of E

    OpenVINO recognises the pattern and multiplies packed weights; a runtime that does not folds it
    into float weights, which is right too.
    """

    def requires(self, model: ir.Model) -> str | None:
        """Groups must divide the input channels."""
        for node, weight, transposed in weighted_matmuls(model):
            channels = _shape(weight)[1 if transposed else 0]
            if channels % GROUP:
                return f"{node.name} has {channels} input channels, which {GROUP} does not divide"
        return None

    def apply(self, model: ir.Model) -> None:
        """Put the unpacking between every weight and all its uses."""
        for _, weight, transposed in list(weighted_matmuls(model)):
            canvas = canvas_for(model, f"{weight.name}/")
            restored = _unpacked(canvas, weight, transposed=transposed)
            model.graph.insert_before(model.graph[0], canvas.nodes)
            ir.convenience.replace_all_uses_with(weight, restored)

    def ensures(self, model: ir.Model) -> str | None:
        """No MatMul by a float weight is left."""
        left = [node.name for node, _, _ in weighted_matmuls(model)]
        return f"{left[0]} still has a float weight" if left else None


def _shape(weight: ir.Value) -> tuple[int, int]:
    if weight.const_value is None:
        msg = f"{weight.name} is no weight"
        raise TypeError(msg)
    rows, columns = (int(size) for size in weight.const_value.shape)
    return rows, columns


def _unpacked(canvas: Canvas, weight: ir.Value, *, transposed: bool) -> ir.Value:
    name, tensor = weight.name or "", weight.const_value
    rows, columns = _shape(weight) if transposed else _shape(weight)[::-1]
    groups = columns // GROUP

    def grouped() -> npt.NDArray[np.float32]:
        array = np.asarray(tensor.numpy(), np.float32)  # type: ignore[union-attr]  # _shape checked
        return (array if transposed else array.T).reshape(rows, groups, GROUP)

    def scales() -> npt.NDArray[np.float32]:
        peaks = np.abs(grouped()).max(axis=-1, keepdims=True)
        return np.where(peaks == 0, 1, peaks / np.float32(127)).astype(np.float32)

    def rounded() -> npt.NDArray[np.int8]:
        return np.rint(grouped() / scales()).astype(np.int8)

    packed = canvas.weight(f"{name}_int8", [rows, groups, GROUP], rounded, dtype=_INT8)
    scale = canvas.weight(f"{name}_scales", [rows, groups, 1], scales, dtype=_FLOAT)
    restored = canvas.op("Mul", canvas.op("Cast", packed, to=int(_FLOAT)), scale)
    flat = canvas.op("Reshape", restored, canvas.ints(rows, columns))
    if transposed:
        return typed(flat, _FLOAT, [rows, columns])
    return typed(canvas.op("Transpose", flat, perm=[1, 0]), _FLOAT, [columns, rows])
