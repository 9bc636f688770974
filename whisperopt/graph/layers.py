"""The parts that encoder and decoder share, drawn in fp32 from a checkpoint's tensors."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.canvas import MICROSOFT, Canvas, Dim, typed

FLOAT = ir.DataType.FLOAT
_EPSILON = 1e-5


class Layers:
    """Draws a checkpoint's layers on a canvas."""

    def __init__(self, canvas: Canvas, checkpoint: Checkpoint) -> None:
        """Draw on `canvas` with the weights of `checkpoint`."""
        self.canvas = canvas
        self.checkpoint = checkpoint
        self.dims = checkpoint.dims
        self.names = frozenset(checkpoint.names())

    def scale(self, heads: int) -> float:
        """What attention with so many heads multiplies its scores by: 1 / sqrt(head size)."""
        return float(1.0 / np.sqrt(self.dims.width // heads))

    def parameter(self, name: str, shape: Sequence[int]) -> ir.Value:
        """Add the tensor `name` as it is stored."""
        if name in self.canvas.initializers:
            return self.canvas.initializers[name]
        return self.canvas.weight(name, shape, lambda: self.checkpoint.tensor(name), dtype=FLOAT)

    def linear(self, name: str, value: ir.Value, sizes: tuple[int, int]) -> ir.Value:
        """Return x W + b, with W stored [in, out] for MatMul; a missing bias is left out."""
        weight = self.canvas.weight(
            f"{name}.weight",
            sizes,
            lambda: self.checkpoint.tensor(f"{name}.weight").T,
            dtype=FLOAT,
        )
        product = self.canvas.node("MatMul", [value, weight], name=f"{name}/MatMul")[0]
        if f"{name}.bias" not in self.names:
            return product
        bias = self.parameter(f"{name}.bias", sizes[1:])
        return self.canvas.node("Add", [product, bias], name=f"{name}/Add")[0]

    def norm(self, name: str, value: ir.Value) -> ir.Value:
        """Layer normalization over the channels."""
        inputs = [
            value,
            *(self.parameter(f"{name}.{p}", [self.dims.width]) for p in ("weight", "bias")),
        ]
        attributes: dict[str, object] = {"axis": -1, "epsilon": _EPSILON}
        return self.canvas.node("LayerNormalization", inputs, attributes, name=name)[0]

    def feed_forward(self, name: str, value: ir.Value, hidden: int) -> ir.Value:
        """Return x + fc2(gelu(fc1(norm(x))))."""
        width = self.dims.width
        inner = self.linear(
            f"{name}.fc1", self.norm(f"{name}.final_layer_norm", value), (width, hidden)
        )
        active = self.canvas.node("Gelu", [inner], name=f"{name}/Gelu")[0]
        outer = self.linear(f"{name}.fc2", active, (hidden, width))
        return self.canvas.op("Add", value, outer)

    def multi_head(
        self, name: str, inputs: Sequence[ir.Value], heads: int, shape: Sequence[Dim]
    ) -> ir.Value:
        """Bidirectional attention of q [B, S, D] over k, v [B, S, D] or [B, H, L, Dh]."""
        attributes: dict[str, object] = {"num_heads": heads, "scale": self.scale(heads)}
        (output,) = self.canvas.node(
            "MultiHeadAttention", inputs, attributes, domain=MICROSOFT, name=f"{name}/attention"
        )
        return typed(output, FLOAT, shape)

    def split_heads(self, value: ir.Value, heads: int) -> ir.Value:
        """[B, L, H Dh] -> [B, H, L, Dh]."""
        shape = self.canvas.ints(0, 0, heads, self.dims.head_size)
        return self.canvas.op(
            "Transpose", self.canvas.op("Reshape", value, shape), perm=[0, 2, 1, 3]
        )
