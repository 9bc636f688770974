"""One node as the rules see it: operands under the names that their operator gives them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import onnx_ir as ir

ELEMENT_TYPES = (
    *("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "int4"),
    *("uint64", "uint32", "uint16", "uint8", "uint4", "bool", "string"),
)
"""What this project calls ONNX's element types."""
_LONG = {"float": "float32", "double": "float64"}

CONTRIBUTED = {
    "GroupQueryAttention": (
        (
            *("query", "key", "value", "past_key", "past_value"),
            *("seqlens_k", "total_sequence_length", "cos_cache", "sin_cache", "position_ids"),
            *("attention_bias", "head_sink", "k_scale", "v_scale"),
            *("q_norm_weight", "k_norm_weight"),
        ),
        ("output", "present_key", "present_value", "output_qk"),
    ),
    "MultiHeadAttention": (
        (
            *("query", "key", "value", "bias", "key_padding_mask", "attention_bias"),
            *("past_key", "past_value", "past_sequence_length", "cache_indirection"),
        ),
        ("output", "present_key", "present_value", "qk"),
    ),
    "MatMulNBits": (("A", "B", "scales", "zero_points", "g_idx", "bias"), ("Y",)),
    "GatherBlockQuantized": (("data", "indices", "scales", "zero_points"), ("output",)),
    "DynamicQuantizeMatMul": (("A", "B", "b_scale", "b_zero_point", "bias"), ("Y",)),
    "FusedMatMul": (("A", "B"), ("Y",)),
    "Gelu": (("X",), ("Y",)),
    "BiasGelu": (("A", "B"), ("C",)),
    "FastGelu": (("X", "bias"), ("Y",)),
    "SkipLayerNormalization": (
        ("input", "skip", "gamma", "beta", "bias"),
        ("output", "mean", "inv_std_var", "input_skip_bias_sum"),
    ),
}
"""Inputs and outputs of the operators of com.microsoft, which ONNX has no definition for."""


class Operand(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor that a node reads or writes."""

    name: str
    """The operator's own name for it, e.g. `past_key`."""
    value: "ir.Value"
    defined: frozenset[str] = frozenset()
    """Element types that ONNX defines for it; empty when ONNX has no say."""

    @property
    def dtype(self) -> str | None:
        """Element type, e.g. `float16`; None when neither the author nor inference knows it."""
        return element_type(self.value.dtype)

    @property
    def rank(self) -> int | None:
        """Number of dimensions; None when unknown."""
        return None if self.value.shape is None else len(self.value.shape)

    def size(self, axis: int) -> int | None:
        """Return the length along `axis` where it is static, else None."""
        shape = self.value.shape
        if shape is None or not -len(shape) <= axis < len(shape):
            return None
        size = shape[axis]
        return size if isinstance(size, int) else None


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """One node with its operands by name."""

    node: "ir.Node"
    part: str
    """The graph it belongs to: `encoder` or `decoder`."""
    version: int | None
    """The operator's ONNX version, i.e. the opset that last changed it; None outside ai.onnx."""
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]

    @property
    def op(self) -> str:
        """The operator with its domain, which is left out for ai.onnx."""
        return qualified(self.node)

    def input(self, name: str) -> Operand | None:
        """Return the input called `name`, or None when the node leaves it out."""
        return next((operand for operand in self.inputs if operand.name == name), None)

    def output(self, name: str) -> Operand | None:
        """Return the output called `name`, or None when the node leaves it out."""
        return next((operand for operand in self.outputs if operand.name == name), None)

    def attribute(self, name: str) -> Any:
        """Return the value of the attribute `name`, or None when the node does not carry it."""
        attribute = self.node.attributes.get(name)
        return None if attribute is None else attribute.value


def element_type(dtype: "ir.DataType | None") -> str | None:
    """Return what this project calls `dtype`."""
    return _LONG.get(dtype.name.lower(), dtype.name.lower()) if dtype else None


def qualified(node: "ir.Node") -> str:
    """Return the operator of `node` with its domain, which is left out for ai.onnx."""
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def view(node: "ir.Node", *, opset: int, part: str) -> NodeView:
    """Name the operands of `node` as its operator does in `opset`."""
    import onnx

    known = not node.domain and onnx.defs.has(node.op_type, opset, "")
    schema = onnx.defs.get_schema(node.op_type, opset, "") if known else None
    inputs, outputs = CONTRIBUTED.get(node.op_type, ((), ())) if node.domain else ((), ())
    return NodeView(
        node=node,
        part=part,
        version=schema.since_version if schema else None,
        inputs=_operands(node.inputs, inputs, schema.inputs if schema else ()),
        outputs=_operands(node.outputs, outputs, schema.outputs if schema else ()),
    )


def _operands(values: Any, names: Sequence[str], formals: Any) -> tuple[Operand, ...]:
    found = []
    for index, value in enumerate(values):
        if value is None or value.name == "":
            continue
        formal = formals[min(index, len(formals) - 1)] if formals else None
        name = formal.name if formal else names[index] if index < len(names) else f"#{index}"
        types = [text.removeprefix("tensor(")[:-1] for text in formal.types] if formal else []
        defined = frozenset(_LONG.get(text, text) for text in types)
        found.append(Operand(name=name, value=value, defined=defined))
    return tuple(found)
