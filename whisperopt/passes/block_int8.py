"""8-bit weights in blocks: MatMulNBits, and the embedding table it shares with the output."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.graph.canvas import MICROSOFT, Canvas, typed
from whisperopt.passes.rewrite import canvas_for, nodes, replace, weighted_matmuls

BLOCK = 32
"""Weights that share one scale, along the input channels."""
_ZERO_POINT = 128
_UINT8, _FLOAT = ir.DataType.UINT8, ir.DataType.FLOAT


class BlockInt8:
    """Weights -> unsigned 8-bit with one scale for every 32 input channels, symmetric around 128.

    1. `MatMul(x, W)`                          -> `MatMulNBits(x, W8, scales)`
    2. `MatMul(x, Transpose(E))`               -> `MatMulNBits(x, E8, scales)`
    3. `Gather(E, ids)` of the tied embedding  -> `GatherBlockQuantized(E8, ids, scales)`
    """

    def __init__(self, accuracy_level: int = 4) -> None:
        """Choose what the activations are rounded to: 4 is 8-bit integers, 1 is float32."""
        self.accuracy_level = accuracy_level

    def requires(self, model: ir.Model) -> str | None:
        """Blocks must divide the input channels."""
        for node, weight, transposed in weighted_matmuls(model):
            if _sizes(weight, transposed=transposed)[0] % BLOCK:
                return f"{node.name} has input channels that {BLOCK} does not divide"
        return None

    def apply(self, model: ir.Model) -> None:
        """Rewrite every MatMul by a weight; tables used by Gather too share their 8-bit form."""
        for node, weight, transposed in list(weighted_matmuls(model)):
            canvas = canvas_for(model, f"{node.name}/")
            channels, columns = _sizes(weight, transposed=transposed)
            quantized, scales = _quantize(canvas, weight, transposed=transposed)
            (output,) = canvas.node(
                "MatMulNBits",
                [node.inputs[0], quantized, scales],
                {
                    "K": channels,
                    "N": columns,
                    "bits": 8,
                    "block_size": BLOCK,
                    "accuracy_level": self.accuracy_level,
                },
                domain=MICROSOFT,
            )
            typed(output, _FLOAT, ["batch", "sequence", columns])
            replace(node, canvas, [output])
            if transposed:
                _share_table(model, weight, quantized, scales)

    def ensures(self, model: ir.Model) -> str | None:
        """No MatMul by a float weight is left."""
        left = [node.name for node, _, _ in weighted_matmuls(model)]
        return f"{left[0]} still has a float weight" if left else None


def _sizes(weight: ir.Value, *, transposed: bool) -> tuple[int, int]:
    if weight.const_value is None:
        msg = f"{weight.name} is no weight"
        raise TypeError(msg)
    rows, columns = (int(d) for d in weight.const_value.shape)
    return (columns, rows) if transposed else (rows, columns)


def _quantize(canvas: Canvas, weight: ir.Value, *, transposed: bool) -> tuple[ir.Value, ir.Value]:
    channels, columns = _sizes(weight, transposed=transposed)
    tensor = weight.const_value

    def rows() -> npt.NDArray[np.float32]:
        array = np.asarray(tensor.numpy(), np.float32)  # type: ignore[union-attr]  # _sizes checked
        return (array if transposed else array.T).reshape(columns, channels // BLOCK, BLOCK)

    parts: tuple[
        tuple[str, list[int], Callable[[], npt.NDArray[np.generic]], ir.DataType], ...
    ] = (
        ("_int8", [columns, channels // BLOCK, BLOCK], lambda: quantize(rows())[0], _UINT8),
        ("_scales", [columns, channels // BLOCK], lambda: quantize(rows())[1], _FLOAT),
    )
    quantized, scales = (
        canvas.weight(f"{weight.name}{suffix}", shape, read, dtype=dtype)
        for suffix, shape, read, dtype in parts
    )
    return quantized, scales


def quantize(
    blocks: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Round `blocks` [rows, blocks, 32] to 8 bits around 128; return them and scales [rows, blocks].

    scale = max|w| / 127, q = round(w / scale) + 128: symmetric, so 0 and 255 are never both used.
    """
    scales = np.abs(blocks).max(axis=-1) / np.float32(127)
    safe = np.where(scales == 0, np.float32(1), scales)
    rounded = np.rint(blocks / safe[..., None]) + _ZERO_POINT
    return rounded.astype(np.uint8), scales.astype(np.float32)


def _share_table(model: ir.Model, table: ir.Value, quantized: ir.Value, scales: ir.Value) -> None:
    for node in nodes(model, "Gather"):
        if node.inputs[0] is not table:
            continue
        canvas = canvas_for(model, f"{node.name}/")
        flat = canvas.op("Reshape", quantized, canvas.ints(0, -1))
        (words,) = canvas.node(
            "GatherBlockQuantized",
            [flat, node.inputs[1], scales],
            {"bits": 8, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1},
            domain=MICROSOFT,
        )
        replace(node, canvas, [words])
