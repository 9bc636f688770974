"""8-bit weights per column with activations rounded on the fly: DynamicQuantizeMatMul."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.graph.canvas import MICROSOFT, Canvas, Dim, typed
from whisperopt.passes.quantization.mixed import ALL, NOTE, Choice
from whisperopt.passes.quantization.weights import Product, none_float, products, scales
from whisperopt.passes.rewrite import Pass, canvas_for, nodes, replace
from whisperopt.runtime.arrays import Floats

# Without VNNI, products of unsigned activations and full-range signed weights saturate in 16 bits:
# 7-bit weights cannot.
_LIMIT = np.float32(64)
_BIAS = 4
"""Which input of DynamicQuantizeMatMul is added to the product."""
FINE = ".fc2."
"""What stays for finer rounding: behind a gelu, few channels are far larger than all others."""


@dataclass(frozen=True)
class DynamicInt8(Pass):
    """MatMul(x, W) -> DynamicQuantizeMatMul(x, W8, scales): W8 is 7-bit signed, a scale a column.

    Pays where many rows share the rounding of activations: in the encoder. Weights that `choice`
    names stay as they are, and the reason is written into the graph.
    """

    choice: Choice = ALL

    def requires(self, model: ir.Model) -> str | None:
        """Weights must be stored [in, out]."""
        transposed = next((p for p in products(model) if p.transposed), None)
        return f"{transposed.node.name} is transposed" if transposed else None

    def apply(self, model: ir.Model) -> None:
        """Rewrite every MatMul by a weight that is not to stay."""
        for product in list(products(model)):
            if product.name not in self.choice.floats:
                canvas = canvas_for(model, f"{product.node.name}/")
                replace(product.node, canvas, [draw(canvas, product)])
        if self.choice != ALL:
            model.metadata_props[NOTE] = self.choice.reason

    def ensures(self, model: ir.Model) -> str | None:
        """No MatMul by a float weight is left but those that were to stay."""
        return none_float(model, self.choice.floats)


class DynamicDecoder(Pass):
    """Products -> DynamicQuantizeMatMul, all but those of `FINE`; one table of words for both uses.

    1. `MatMul(x, W)`                       -> `DynamicQuantizeMatMul(x, W8, scales)`
    2. `MatMul(x, Transpose(E))`            -> the same with E8 stored [in, out]
    3. `Gather(E, ids)` of that embedding   -> `Gather(E8, ids, axis=1)` times `Gather(scales, ids)`

    Where several rows are computed at once this is twice as fast as blocks with scales of their
    own, which are unpacked again for every row.
    """

    def apply(self, model: ir.Model) -> None:
        """Rewrite every product that bears it."""
        for product in list(products(model)):
            if FINE not in product.name:
                canvas = canvas_for(model, f"{product.node.name}/")
                replace(product.node, canvas, [draw(canvas, product)])
                for node in product.lookups():
                    _look_up(model, product, node)

    def ensures(self, model: ir.Model) -> str | None:
        """No other product by a float weight is left."""
        return none_float(model, [p.name for p in products(model) if FINE in p.name])


class FoldBias(Pass):
    """Add(DynamicQuantizeMatMul(x, W, scales, zeros), b) -> DynamicQuantizeMatMul(..., b).

    A node less, and the numbers are touched once. ONNX Runtime does the same by itself for
    MatMulNBits, but not for this one.
    """

    def apply(self, model: ir.Model) -> None:
        """Fold every bias."""
        for product, added, bias in _biases(model):
            product.resize_inputs(_BIAS + 1)
            product.replace_input_with(_BIAS, bias)
            old, new = added.outputs[0], product.outputs[0]
            new.type, new.shape = old.type or new.type, old.shape or new.shape
            ir.convenience.replace_all_uses_with(old, new)
            model.graph.remove(added, safe=True)

    def ensures(self, model: ir.Model) -> str | None:
        """No bias is added behind such a product."""
        left = _biases(model)
        return f"{left[0][1].name} adds a bias" if left else None


def draw(canvas: Canvas, product: Product) -> ir.Value:
    """Draw the product with its activations rounded while the graph runs."""
    shape = [product.channels, product.columns]

    def steps() -> Floats:
        return scales(product.matrix().T, _LIMIT)[:, 0]

    def rounded() -> npt.NDArray[np.int8]:
        numbers: npt.NDArray[np.int8] = np.rint(product.matrix() / steps()).astype(np.int8)
        return numbers

    inputs = [
        product.node.inputs[0],
        canvas.weight(f"{product.name}_int8", shape, rounded, dtype=ir.DataType.INT8),
        canvas.weight(f"{product.name}_scales", shape[1:], steps, dtype=ir.DataType.FLOAT),
        canvas.constant(f"int8_zeros_{shape[1]}", np.zeros(shape[1], np.int8)),
    ]
    output = canvas.op("DynamicQuantizeMatMul", *inputs, domain=MICROSOFT)
    return typed(output, ir.DataType.FLOAT, ["batch", "sequence", product.columns])


def _look_up(model: ir.Model, product: Product, node: ir.Node) -> None:
    """Take words from the columns of the table that the logits are computed with."""
    stored = model.graph.initializers
    table, worth = stored[f"{product.name}_int8"], stored[f"{product.name}_scales"]
    canvas = canvas_for(model, f"{node.name}/")
    op, ids = canvas.op, node.inputs[1]
    shape: list[Dim] = [product.channels, "batch", "sequence"]
    columns = typed(op("Gather", table, ids, axis=1), ir.DataType.INT8, shape)
    words = op("Cast", op("Transpose", columns, perm=[1, 2, 0]), to=int(ir.DataType.FLOAT))
    steps = op("Unsqueeze", op("Gather", worth, ids), canvas.ints(-1))
    replace(node, canvas, [op("Mul", words, steps)])


def _biases(model: ir.Model) -> list[tuple[ir.Node, ir.Node, ir.Value]]:
    """Return the products behind which a bias is added, the sums, and the biases."""
    found = []
    for node in nodes(model, "DynamicQuantizeMatMul"):
        uses = list(node.outputs[0].uses())
        if len(uses) != 1 or uses[0].node.op_type != "Add" or len(node.inputs) > _BIAS:
            continue
        added = uses[0].node
        bias = added.inputs[1 - uses[0].idx]
        if bias is not None and bias.const_value is not None:
            found.append((node, added, bias))
    return found
