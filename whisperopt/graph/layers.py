"""The parts that encoder and decoder share, drawn in fp32 from a checkpoint's tensors."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.shapes import required
from whisperopt.graph.canvas import MICROSOFT, Canvas, Dim, typed
from whisperopt.runtime.arrays import Floats

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

    def parameter(self, name: str, shape: Sequence[int] = ()) -> ir.Value:
        """Add the tensor `name` as it is stored; the `shape` of one that no model must have."""
        if name in self.canvas.initializers:
            return self.canvas.initializers[name]
        shape = shape or self.shapes[name]
        return self.canvas.weight(name, shape, lambda: self.checkpoint.tensor(name), dtype=FLOAT)

    def linear(self, name: str, value: ir.Value, factor: float = 1.0) -> ir.Value:
        """Return (x W + b) `factor`, with W stored [in, out] for MatMul; no bias is added if none is.

        The factor is in the weights.
        """
        stored, bias = f"{name}.weight", f"{name}.bias"
        outputs, inputs = self.shapes[stored]

        def scaled(part: str) -> Floats:
            tensor = self.checkpoint.tensor(part)
            return tensor if factor == 1 else np.multiply(tensor, factor, dtype=np.float32)

        weight = self.canvas.weight(
            stored, (inputs, outputs), lambda: scaled(stored).T, dtype=FLOAT
        )
        product = self.canvas.op("MatMul", value, weight, name=f"{name}/MatMul")
        if bias not in self.names:
            return product
        added = self.canvas.weight(bias, [outputs], lambda: scaled(bias), dtype=FLOAT)
        return self.canvas.op("Add", product, added, name=f"{name}/Add")

    def query(self, name: str, value: ir.Value, heads: int) -> ir.Value:
        """Return the queries of attention over 1 / sqrt(head size), which scores are multiplied by.

        The scale is in the weights of every form of attention, so that all forms share them. It
        is a power of two for heads of 64: nothing is rounded.
        """
        return self.linear(f"{name}.q_proj", value, float(1.0 / np.sqrt(self.dims.width // heads)))

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
        inputs = [self.query(name, normed, heads)]
        inputs += [self.linear(f"{name}.{part}_proj", normed) for part in ("" if cache else "kv")]
        attended = self.canvas.op(
            "MultiHeadAttention",
            *(*inputs, *cache),
            domain=MICROSOFT,
            name=f"{name}/attention",
            num_heads=heads,
            scale=1.0,
        )
        typed(attended, FLOAT, ["batch", length, self.dims.width])
        return self.canvas.op("Add", value, self.linear(f"{name}.out_proj", attended))
