"""Products by weights: how passes find them, and how weights are rounded to 8 bits in blocks."""

from collections.abc import Collection, Iterator

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.graph.canvas import Canvas
from whisperopt.passes.rewrite import nodes

BLOCK = 32
"""Weights that share one scale, along the input channels."""
_PEAK = np.float32(127)


class Product(msgspec.Struct, frozen=True):
    """A MatMul by a weight.

    1. `MatMul(x, W)` with W stored [in, out]
    2. `MatMul(x, Transpose(W))` with W stored [out, in]: the output projection, tied to the
       embedding
    """

    node: ir.Node
    weight: ir.Value
    tensor: ir.TensorProtocol
    transposed: bool

    @property
    def name(self) -> str:
        """Name of the weight."""
        return self.weight.name or ""

    @property
    def channels(self) -> int:
        """Size of the input."""
        return self.tensor.shape.numpy()[1 if self.transposed else 0]

    @property
    def columns(self) -> int:
        """Size of the output."""
        return self.tensor.shape.numpy()[0 if self.transposed else 1]

    @property
    def blocks(self) -> int:
        """Number of blocks along the input."""
        return self.channels // BLOCK

    def read(self) -> npt.NDArray[np.float32]:
        """Read the weight in blocks, float32 [out, in / 32, 32]."""
        array = np.asarray(self.tensor.numpy(), np.float32)
        rows = array if self.transposed else array.T
        return rows.reshape(self.columns, self.blocks, BLOCK)

    def rounded(self) -> npt.NDArray[np.int8]:
        """Return the weight as round(w / scale), int8 [out, in / 32, 32]."""
        blocks = self.read()
        rounded: npt.NDArray[np.int8] = np.rint(blocks / scales(blocks)).astype(np.int8)
        return rounded

    def add_scales(self, canvas: Canvas, *trailing: int) -> ir.Value:
        """Add the weight's scales to the graph, float32 [out, in / 32, *trailing]."""
        shape = [self.columns, self.blocks, *trailing]
        name = f"{self.weight.name}_scales"
        return canvas.weight(name, shape, lambda: scales(self.read()), dtype=ir.DataType.FLOAT)


def scales(blocks: npt.NDArray[np.generic], steps: np.float32 = _PEAK) -> npt.NDArray[np.float32]:
    """Return what one step is worth, max|w| / steps, for each block [..., n] -> [..., 1]."""
    peaks = np.abs(blocks).max(axis=-1, keepdims=True)
    return np.where(peaks == 0, np.float32(1), peaks / steps).astype(np.float32)


def products(model: ir.Model) -> Iterator[Product]:
    """Yield every MatMul by a weight, in graph order."""
    for node in nodes(model, "MatMul"):
        weight = node.inputs[1]
        producer = weight.producer() if weight else None
        transposed = producer is not None and producer.op_type == "Transpose"
        if producer is not None and transposed:
            weight = producer.inputs[0]
        if weight is not None and weight.const_value is not None:
            yield Product(node, weight, weight.const_value, transposed)


def undivided(model: ir.Model) -> str | None:
    """Return why weights cannot be cut into blocks, or None."""
    for product in products(model):
        if product.channels % BLOCK:
            return (
                f"{product.node.name} has {product.channels} input channels,"
                f" which {BLOCK} does not divide"
            )
    return None


def none_float(model: ir.Model, but: Collection[str] = ()) -> str | None:
    """Return the promise of every pass that packs all weights `but` some."""
    left = next((product for product in products(model) if product.name not in but), None)
    return f"{left.node.name} still has a float weight" if left else None
