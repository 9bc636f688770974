"""Single precision -> half precision, inputs and outputs included."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.graph.canvas import lazy
from whisperopt.passes.rewrite import PassError, need_opset

_FLOAT = ir.DataType.FLOAT
_DTYPES = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
# Conv takes bfloat16 since then.
_BF16_OPSET = 22


class Half:
    """Every float32 weight and value -> float16 or bfloat16.

    Layer normalization keeps computing in float32 by its own rule (`stash_type`).
    """

    def __init__(self, precision: Literal["fp16", "bf16"]) -> None:
        """Choose between a fine grain and a wide range."""
        self.dtype = _DTYPES[precision]

    def requires(self, model: ir.Model) -> str | None:
        """Casts to float32 would keep islands of single precision."""
        for node in model.graph:
            if node.op_type == "Cast" and node.attributes["to"].as_int() == _FLOAT:
                return f"{node.name} casts to float32"
        return None

    def apply(self, model: ir.Model) -> None:
        """Retype all values and convert weights when they are written."""
        graph = model.graph
        if self.dtype is ir.DataType.BFLOAT16:
            need_opset(model, _BF16_OPSET)
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and tensor.dtype == _FLOAT:
                value.const_value = _converted(tensor, self.dtype)
                value.type = ir.TensorType(self.dtype)
        for value in [*graph.inputs, *(output for node in graph for output in node.outputs)]:
            if value.dtype == _FLOAT:
                value.type = ir.TensorType(self.dtype)

    def ensures(self, model: ir.Model) -> str | None:
        """No declared float32 is left."""
        for value in [*model.graph.initializers.values(), *model.graph.outputs]:
            if value.dtype == _FLOAT:
                return f"{value.name} is still float32"
        return None


def _converted(tensor: ir.TensorProtocol, dtype: ir.DataType) -> ir.LazyTensor:
    def read() -> npt.NDArray[np.generic]:
        with np.errstate(over="ignore"):
            halved: npt.NDArray[np.generic] = tensor.numpy().astype(dtype.numpy())
        if dtype is ir.DataType.FLOAT16 and np.isinf(halved).any():
            raise PassError(f"{tensor.name} holds numbers that do not fit into half precision")
        return halved

    return lazy(tensor.name or "", tensor.shape.numpy(), read, dtype)
