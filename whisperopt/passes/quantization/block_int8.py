"""8-bit weights in blocks: MatMulNBits, and the embedding table it shares with the output."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.graph.canvas import MICROSOFT, typed
from whisperopt.passes.quantization.weights import BLOCK, Product, none_float, products, undivided
from whisperopt.passes.rewrite import canvas_for, nodes, replace

_ZERO_POINT = 128
_ACCURACY_LEVEL = 4
"""What activations are rounded to: 8-bit integers."""


class BlockInt8:
    """Weights -> unsigned 8-bit around 128, with one scale for every 32 input channels.

    1. `MatMul(x, W)`                          -> `MatMulNBits(x, W8, scales)`
    2. `MatMul(x, Transpose(E))`               -> `MatMulNBits(x, E8, scales)`
    3. `Gather(E, ids)` of the tied embedding  -> `GatherBlockQuantized(E8, ids, scales)`
    """

    def requires(self, model: ir.Model) -> str | None:
        """Blocks must divide the input channels."""
        return undivided(model)

    def apply(self, model: ir.Model) -> None:
        """Rewrite every MatMul by a weight; tables used by Gather too share their 8-bit form."""
        for product in list(products(model)):
            canvas = canvas_for(model, f"{product.node.name}/")
            packed = canvas.weight(
                f"{product.weight.name}_int8",
                [product.columns, product.blocks, BLOCK],
                lambda product=product: unsigned(product),  # type: ignore[misc]  # binds the loop's value
                dtype=ir.DataType.UINT8,
            )
            scales = product.add_scales(canvas)
            (output,) = canvas.node(
                "MatMulNBits",
                [product.node.inputs[0], packed, scales],
                {
                    "K": product.channels,
                    "N": product.columns,
                    "bits": 8,
                    "block_size": BLOCK,
                    "accuracy_level": _ACCURACY_LEVEL,
                },
                domain=MICROSOFT,
            )
            typed(output, ir.DataType.FLOAT, ["batch", "sequence", product.columns])
            replace(product.node, canvas, [output])
            if product.transposed:
                _share_table(model, product, packed, scales)

    def ensures(self, model: ir.Model) -> str | None:
        """No MatMul by a float weight is left."""
        return none_float(model)


def unsigned(product: Product) -> npt.NDArray[np.uint8]:
    """Return the weight as round(w / scale) + 128, uint8 [out, in / 32, 32]."""
    return (product.rounded().astype(np.int16) + _ZERO_POINT).astype(np.uint8)


def _share_table(model: ir.Model, product: Product, packed: ir.Value, scales: ir.Value) -> None:
    for node in nodes(model, "Gather"):
        if node.inputs[0] is not product.weight:
            continue
        canvas = canvas_for(model, f"{node.name}/")
        rows = canvas.op("Reshape", packed, canvas.ints(0, -1))
        (words,) = canvas.node(
            "GatherBlockQuantized",
            [rows, node.inputs[1], scales],
            {"bits": 8, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1},
            domain=MICROSOFT,
        )
        replace(node, canvas, [words])
