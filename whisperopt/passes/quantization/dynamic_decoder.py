"""The decoder in 8-bit whole numbers where its activations bear it, the words' table among them."""

import msgspec
import onnx_ir as ir

from whisperopt.graph.canvas import lazy, typed
from whisperopt.passes.quantization.dynamic_int8 import draw
from whisperopt.passes.quantization.weights import Product, none_float, products
from whisperopt.passes.rewrite import canvas_for, nodes, replace

FINE = ".fc2."
"""What stays for finer rounding: behind a gelu, few channels are far larger than all others."""


class DynamicDecoder:
    """Products -> DynamicQuantizeMatMul, all but those of `FINE`; one table of words for both uses.

    1. `MatMul(x, W)`                       -> `DynamicQuantizeMatMul(x, W8, scales)`
    2. `MatMul(x, Transpose(E))`            -> the same with E8 stored [in, out]
    3. `Gather(E, ids)` of that embedding   -> `Gather(E8, ids, axis=1)` times `Gather(scales, ids)`

    Where several rows are computed at once this is twice as fast as blocks with scales of their
    own, which are unpacked again for every row.
    """

    def requires(self, model: ir.Model) -> str | None:
        """Nothing."""

    def apply(self, model: ir.Model) -> None:
        """Rewrite every product that bears it."""
        for product in list(products(model)):
            if FINE not in product.name:
                canvas = canvas_for(model, f"{product.node.name}/")
                replace(product.node, canvas, [draw(canvas, _upright(product))])
                if product.transposed:
                    _look_up(model, product)

    def ensures(self, model: ir.Model) -> str | None:
        """No other product by a float weight is left."""
        return none_float(model, [p.name for p in products(model) if FINE in p.name])


def _upright(product: Product) -> Product:
    """Return the product with its weight as [in, out]."""
    if not product.transposed:
        return product
    tensor, shape = product.tensor, [product.channels, product.columns]
    turned = lazy(product.name, shape, lambda: tensor.numpy().T, tensor.dtype)
    return msgspec.structs.replace(product, tensor=turned, transposed=False)


def _look_up(model: ir.Model, product: Product) -> None:
    """Take words from the columns of the table that the logits are computed with."""
    stored = model.graph.initializers
    table, scales = stored[f"{product.name}_int8"], stored[f"{product.name}_scales"]
    for node in nodes(model, "Gather"):
        if node.inputs[0] is not product.weight:
            continue
        canvas = canvas_for(model, f"{node.name}/")
        op, ids = canvas.op, node.inputs[1]
        columns = typed(
            op("Gather", table, ids, axis=1),
            ir.DataType.INT8,
            [product.channels, "batch", "sequence"],
        )
        words = op("Cast", op("Transpose", columns, perm=[1, 2, 0]), to=int(ir.DataType.FLOAT))
        steps = op("Unsqueeze", op("Gather", scales, ids), canvas.ints(-1))
        replace(node, canvas, [op("Mul", words, steps)])
