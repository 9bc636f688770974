"""Single precision -> half precision, inputs and outputs included."""

import numpy as np
import onnx_ir as ir

from whisperopt.graph.canvas import lazy

_FLOAT, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16


class Fp16:
    """Every float32 weight and value -> float16.

    Layer normalization keeps computing in float32 by its own rule (`stash_type`).
    """

    def requires(self, model: ir.Model) -> str | None:
        """Casts to float32 would keep islands of single precision."""
        for node in model.graph:
            if node.op_type == "Cast" and node.attributes["to"].as_int() == _FLOAT:
                return f"{node.name} casts to float32"
        return None

    def apply(self, model: ir.Model) -> None:
        """Retype all values and convert weights when they are written."""
        graph = model.graph
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and tensor.dtype == _FLOAT:
                value.const_value = _half(tensor)
                value.type = ir.TensorType(_HALF)
        for value in [*graph.inputs, *(output for node in graph for output in node.outputs)]:
            if value.dtype == _FLOAT:
                value.type = ir.TensorType(_HALF)

    def ensures(self, model: ir.Model) -> str | None:
        """No declared float32 is left."""
        for value in [*model.graph.initializers.values(), *model.graph.outputs]:
            if value.dtype == _FLOAT:
                return f"{value.name} is still float32"
        return None


def _half(tensor: ir.TensorProtocol) -> ir.LazyTensor:
    shape = tensor.shape.numpy()
    return lazy(tensor.name or "", shape, lambda: tensor.numpy().astype(np.float16), _HALF)
