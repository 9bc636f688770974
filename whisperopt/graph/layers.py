"""The parts that encoder and decoder share, drawn in fp32 from a checkpoint's tensors."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.shapes import required
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
        self.shapes = required(checkpoint.dims)

    def scale(self, heads: int) -> float:
        """What attention with so many heads multiplies its scores by: 1 / sqrt(head size)."""
        return float(1.0 / np.sqrt(self.dims.width // heads))

    def parameter(self, name: str, shape: Sequence[int] = ()) -> ir.Value:
        """Add the tensor `name` as it is stored; the `shape` of one that no model must have."""
        if name in self.canvas.initializers:
            return self.canvas.initializers[name]
        shape = shape or self.shapes[name]
        return self.canvas.weight(name, shape, lambda: self.checkpoint.tensor(name), dtype=FLOAT)

    def linear(self, name: str, value: ir.Value) -> ir.Value:
        """Return x W + b, with W stored [in, out] for MatMul; a missing bias is left out."""
        stored, bias = f"{name}.weight", f"{name}.bias"
        outputs, inputs = self.shapes[stored]
        weight = self.canvas.weight(
            stored, (inputs, outputs), lambda: self.checkpoint.tensor(stored).T, dtype=FLOAT
        )
        product = self.canvas.op("MatMul", value, weight, name=f"{name}/MatMul")
        if bias not in self.names:
            return product
        added = self.parameter(bias, [outputs])
        return self.canvas.op("Add", product, added, name=f"{name}/Add")

    def norm(self, name: str, value: ir.Value) -> ir.Value:
        """Layer normalization over the channels."""
        weights = [self.parameter(f"{name}.{part}") for part in ("weight", "bias")]
        return self.canvas.op(
            "LayerNormalization", value, *weights, name=name, axis=-1, epsilon=_EPSILON
        )

    def feed_forward(self, name: str, value: ir.Value) -> ir.Value:
        """Return x + fc2(gelu(fc1(norm(x))))."""
        inner = self.linear(f"{name}.fc1", self.norm(f"{name}.final_layer_norm", value))
        active = self.canvas.op("Gelu", inner, name=f"{name}/Gelu")
        return self.canvas.op("Add", value, self.linear(f"{name}.fc2", active))

    def attention(
        self, name: str, value: ir.Value, length: Dim, heads: int, cache: Sequence[ir.Value] = ()
    ) -> ir.Value:
        """Return x + out_proj(bidirectional attention of norm(x) [B, `length`, D]).

        Keys and values are of norm(x) as well, or the `cache` [B, H, L, Dh].
        """
        normed = self.norm(f"{name}_layer_norm", value)
        inputs = [self.linear(f"{name}.{p}_proj", normed) for p in ("q" if cache else "qkv")]
        attended = self.canvas.op(
            "MultiHeadAttention",
            *(*inputs, *cache),
            domain=MICROSOFT,
            name=f"{name}/attention",
            num_heads=heads,
            scale=self.scale(heads),
        )
        typed(attended, FLOAT, ["batch", length, self.dims.width])
        return self.canvas.op("Add", value, self.linear(f"{name}.out_proj", attended))
