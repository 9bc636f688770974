"""Products by weights: how passes find them, and how weights are rounded to 8 bits in blocks."""

from collections.abc import Callable, Collection, Iterator

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.graph.canvas import Array, Canvas, made_by
from whisperopt.passes.rewrite import nodes
from whisperopt.runtime.arrays import Floats

BLOCK = 32
"""Weights that share one scale, along the input channels."""
_PEAK = np.float32(127)
_ZERO_POINT = 128


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
    name: str
    """Of the weight."""
    channels: int
    """Size of the input."""
    columns: int
    """Size of the output."""

    @property
    def blocks(self) -> int:
        """Number of blocks along the input."""
        return self.channels // BLOCK

    def matrix(self) -> Floats:
        """Read the weight, float32 [in, out]."""
        array = np.asarray(self.tensor.numpy(), np.float32)
        return array.T if self.transposed else array

    def read(self) -> Floats:
        """Read the weight in blocks, float32 [out, in / 32, 32]."""
        return self.matrix().T.reshape(self.columns, self.blocks, BLOCK)

    def rounded(self) -> npt.NDArray[np.int8]:
        """Return the weight as round(w / scale), int8 [out, in / 32, 32]."""
        blocks = self.read()
        rounded: npt.NDArray[np.int8] = np.rint(blocks / scales(blocks)).astype(np.int8)
        return rounded

    def unsigned(self) -> npt.NDArray[np.uint8]:
        """Return the weight as round(w / scale) + 128, uint8 [out, in / 32, 32]."""
        return (self.rounded().astype(np.int16) + _ZERO_POINT).astype(np.uint8)

    def lookups(self) -> list[ir.Node]:
        """Return the nodes that take words from the weight, where that is a table of them."""
        uses = self.weight.uses() if self.transposed else ()
        return [use.node for use in uses if use.node.op_type == "Gather" and use.idx == 0]

    def add_packed(
        self, canvas: Canvas, read: Callable[[], Array], dtype: ir.DataType
    ) -> ir.Value:
        """Add what `read` returns of the weight to the graph, [out, in / 32, 32]."""
        shape = [self.columns, self.blocks, BLOCK]
        return canvas.weight(f"{self.name}_int8", shape, read, dtype=dtype)

    def add_scales(self, canvas: Canvas, *trailing: int) -> ir.Value:
        """Add the weight's scales to the graph, float32 [out, in / 32, *trailing]."""
        shape = [self.columns, self.blocks, *trailing]
        return canvas.weight(
            f"{self.name}_scales", shape, lambda: scales(self.read()), dtype=ir.DataType.FLOAT
        )


def scales(blocks: Array, steps: np.float32 = _PEAK) -> Floats:
    """Return what one step is worth, max|w| / steps, for each block [..., n] -> [..., 1]."""
    peaks = np.abs(blocks).max(axis=-1, keepdims=True)
    return np.where(peaks == 0, np.float32(1), peaks / steps).astype(np.float32)


def products(model: ir.Model) -> Iterator[Product]:
    """Yield every MatMul by a weight, in graph order."""
    for node in nodes(model, "MatMul"):
        turned = made_by(node.inputs[1], "Transpose")
        weight = turned.inputs[0] if turned else node.inputs[1]
        if weight is not None and (tensor := weight.const_value) is not None:
            sizes = tensor.shape.numpy()
            channels, columns = reversed(sizes) if turned else sizes
            name = weight.name or ""
            yield Product(node, weight, tensor, turned is not None, name, channels, columns)


def none_float(model: ir.Model, but: Collection[str] = ()) -> str | None:
    """Return the promise of every pass that packs all weights `but` some."""
    left = next((product for product in products(model) if product.name not in but), None)
    return f"{left.node.name} still has a float weight" if left else None
