"""Biases added by the product that they follow: a node less, and the numbers are touched once."""

import onnx_ir as ir

from whisperopt.passes.rewrite import nodes

_PRODUCT = "DynamicQuantizeMatMul"
_BIAS = 4


class FoldBias:
    """Add(DynamicQuantizeMatMul(x, W, scales, zeros), b) -> DynamicQuantizeMatMul(..., b).

    ONNX Runtime does the same by itself for MatMulNBits, but not for this one.
    """

    def requires(self, model: ir.Model) -> str | None:
        """Nothing: where there is no bias, nothing is done."""

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


def _biases(model: ir.Model) -> list[tuple[ir.Node, ir.Node, ir.Value]]:
    """Return the products behind which a bias is added, the sums, and the biases."""
    found = []
    for node in nodes(model, _PRODUCT):
        uses = list(node.outputs[0].uses())
        if len(uses) != 1 or uses[0].node.op_type != "Add" or len(node.inputs) > _BIAS:
            continue
        added = uses[0].node
        bias = added.inputs[1 - uses[0].idx]
        if bias is not None and bias.const_value is not None:
            found.append((node, added, bias))
    return found
