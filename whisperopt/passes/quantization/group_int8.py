"""8-bit weights in blocks, in standard operators: the form that compilers keep packed."""

from collections.abc import Sequence

import onnx_ir as ir

from whisperopt.graph.canvas import typed
from whisperopt.passes.quantization.weights import BLOCK, Product, none_float, products, undivided
from whisperopt.passes.rewrite import canvas_for

_FLOAT = ir.DataType.FLOAT


class GroupInt8:
    """W -> Reshape(Cast(W8) * scales), with W8 [out, in / 32, 32] signed 8-bit.

    1. `MatMul(x, W)` with W [in, out]: the weight is stored [out, in] and transposed back
    2. `MatMul(x, Transpose(E))` with E [out, in]: shared with every other use of E

    OpenVINO recognises the pattern and multiplies packed weights; a runtime that does not folds it
    into float weights, which is right too.
    """

    def requires(self, model: ir.Model) -> str | None:
        """Blocks must divide the input channels."""
        return undivided(model)

    def apply(self, model: ir.Model) -> None:
        """Put the unpacking between every weight and all its uses."""
        for product in list(products(model)):
            nodes, restored = _unpacked(model, product)
            model.graph.insert_before(model.graph[0], nodes)
            ir.convenience.replace_all_uses_with(product.weight, restored)

    def ensures(self, model: ir.Model) -> str | None:
        """No MatMul by a float weight is left."""
        return none_float(model)


def _unpacked(model: ir.Model, product: Product) -> tuple[Sequence[ir.Node], ir.Value]:
    canvas = canvas_for(model, f"{product.weight.name}/")
    packed = canvas.weight(
        f"{product.weight.name}_int8",
        [product.columns, product.blocks, BLOCK],
        product.rounded,
        dtype=ir.DataType.INT8,
    )
    # OpenVINO wants constants here: it cannot pack through an Unsqueeze
    restored = canvas.op(
        "Mul", canvas.op("Cast", packed, to=int(_FLOAT)), product.add_scales(canvas, 1)
    )
    flat = canvas.op("Reshape", restored, canvas.ints(product.columns, product.channels))
    if product.transposed:
        return canvas.nodes, typed(flat, _FLOAT, [product.columns, product.channels])
    back = canvas.op("Transpose", flat, perm=[1, 0])
    return canvas.nodes, typed(back, _FLOAT, [product.channels, product.columns])
