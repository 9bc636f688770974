"""8-bit weights per column with activations rounded on the fly: DynamicQuantizeMatMul."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.graph.canvas import MICROSOFT, Canvas, typed
from whisperopt.passes.quantization.mixed import ALL, NOTE, Choice
from whisperopt.passes.quantization.weights import Product, none_float, products, scales
from whisperopt.passes.rewrite import canvas_for, replace

# Without VNNI, products of unsigned activations and full-range signed weights saturate in 16 bits:
# 7-bit weights cannot.
_LIMIT = np.float32(64)


class DynamicInt8:
    """MatMul(x, W) -> DynamicQuantizeMatMul(x, W8, scales): W8 is 7-bit signed, a scale a column.

    Pays where many rows share the rounding of activations: in the encoder.
    """

    def __init__(self, choice: Choice = ALL) -> None:
        """Leave the weights that `choice` names as they are, and write the reason into the graph."""
        self.choice = choice

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


def draw(canvas: Canvas, product: Product) -> ir.Value:
    """Draw the product with its activations rounded while the graph runs."""
    shape, tensor = [product.channels, product.columns], product.tensor

    def steps() -> npt.NDArray[np.float32]:
        return scales(tensor.numpy().T, _LIMIT)[:, 0]

    def rounded() -> npt.NDArray[np.int8]:
        numbers: npt.NDArray[np.int8] = np.rint(tensor.numpy() / steps()).astype(np.int8)
        return numbers

    inputs = [
        product.node.inputs[0],
        canvas.weight(f"{product.name}_int8", shape, rounded, dtype=ir.DataType.INT8),
        canvas.weight(f"{product.name}_scales", shape[1:], steps, dtype=ir.DataType.FLOAT),
        canvas.constant(f"int8_zeros_{shape[1]}", np.zeros(shape[1], np.int8)),
    ]
    (output,) = canvas.node("DynamicQuantizeMatMul", inputs, domain=MICROSOFT)
    return typed(output, ir.DataType.FLOAT, ["batch", "sequence", product.columns])
