"""8-bit weights in blocks of input channels, each with a scale of its own."""

import onnx_ir as ir

from whisperopt.graph.canvas import MICROSOFT, Canvas, typed
from whisperopt.passes.quantization.weights import BLOCK, Product, none_float, products
from whisperopt.passes.rewrite import Pass, canvas_for, replace

_ACCURACY_LEVEL = 4
"""What activations are rounded to: 8-bit integers."""
_FLOAT = ir.DataType.FLOAT


class _Blocks(Pass):
    """Packs the weight of every product in blocks of 32 input channels."""

    def requires(self, model: ir.Model) -> str | None:
        """Blocks must divide the input channels."""
        for product in products(model):
            if product.channels % BLOCK:
                return (
                    f"{product.node.name} has {product.channels} input channels,"
                    f" which {BLOCK} does not divide"
                )
        return None

    def ensures(self, model: ir.Model) -> str | None:
        """No MatMul by a float weight is left."""
        return none_float(model)


class BlockInt8(_Blocks):
    """Weights -> unsigned 8-bit around 128, with one scale for every 32 input channels.

    1. `MatMul(x, W)`                          -> `MatMulNBits(x, W8, scales)`
    2. `MatMul(x, Transpose(E))`               -> `MatMulNBits(x, E8, scales)`
    3. `Gather(E, ids)` of the tied embedding  -> `GatherBlockQuantized(E8, ids, scales)`
    """

    def apply(self, model: ir.Model) -> None:
        """Rewrite every MatMul by a weight; tables used by Gather too share their 8-bit form."""
        for product in list(products(model)):
            canvas = canvas_for(model, f"{product.node.name}/")
            packed = product.add_packed(canvas, product.unsigned, ir.DataType.UINT8)
            scales = product.add_scales(canvas)
            output = canvas.op(
                "MatMulNBits",
                *(product.node.inputs[0], packed, scales),
                domain=MICROSOFT,
                K=product.channels,
                N=product.columns,
                bits=8,
                block_size=BLOCK,
                accuracy_level=_ACCURACY_LEVEL,
            )
            typed(output, _FLOAT, ["batch", "sequence", product.columns])
            replace(product.node, canvas, [output])
            for node in product.lookups():
                canvas = canvas_for(model, f"{node.name}/")
                rows = canvas.op("Reshape", packed, canvas.ints(0, -1))
                words = canvas.op(
                    "GatherBlockQuantized",
                    *(rows, node.inputs[1], scales),
                    domain=MICROSOFT,
                    bits=8,
                    block_size=BLOCK,
                    gather_axis=0,
                    quantize_axis=1,
                )
                replace(node, canvas, [words])


class GroupInt8(_Blocks):
    """W -> Reshape(Cast(W8) * scales), with W8 [out, in / 32, 32] signed 8-bit.

    1. `MatMul(x, W)` with W [in, out]: the weight is stored [out, in] and transposed back
    2. `MatMul(x, Transpose(E))` with E [out, in]: shared with every other use of E

    Standard operators, the form that compilers keep packed: OpenVINO recognises the pattern and
    multiplies packed weights. A runtime that does not folds it into float weights: right too.
    """

    def apply(self, model: ir.Model) -> None:
        """Put the unpacking between every weight and all its uses."""
        for product in list(products(model)):
            canvas = canvas_for(model, f"{product.name}/")
            restored = _unpacked(canvas, product)
            model.graph.insert_before(model.graph[0], canvas.nodes)
            ir.convenience.replace_all_uses_with(product.weight, restored)


def _unpacked(canvas: Canvas, product: Product) -> ir.Value:
    packed = product.add_packed(canvas, product.rounded, ir.DataType.INT8)
    numbers = canvas.op("Cast", packed, to=int(_FLOAT))
    # OpenVINO wants constants here: it cannot pack through an Unsqueeze
    restored = canvas.op("Mul", numbers, product.add_scales(canvas, 1))
    flat = canvas.op("Reshape", restored, canvas.ints(product.columns, product.channels))
    if product.transposed:
        return typed(flat, _FLOAT, [product.columns, product.channels])
    back = canvas.op("Transpose", flat, perm=[1, 0])
    return typed(back, _FLOAT, [product.channels, product.columns])
