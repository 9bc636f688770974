"""Bidirectional MultiHeadAttention -> ai.onnx Attention, or standard operators."""

import onnx_ir as ir

from whisperopt.passes.attention import BIAS, OPSET, Attention
from whisperopt.passes.rewrite import Lowering, canvas_for, need_opset, nodes, replace


class MhaToAttention(Lowering):
    """MultiHeadAttention(q, k, v) -> Attention(q, k, v) of opset 23, all of [B, H, S, Dh].

    1. q, k, v [B, S, D]: all three are split into heads (the encoder)
    2. q [B, S, D]; k, v [B, H, L, Dh]: only q is (cross-attention over a cache)
    """

    lowered = "MultiHeadAttention"

    def requires(self, model: ir.Model) -> str | None:
        """Masks, biases and caches are not this pass's business."""
        return _more_than_qkv(model)

    def apply(self, model: ir.Model) -> None:
        """Rewrite every MultiHeadAttention."""
        found = nodes(model, self.lowered)
        if found:
            need_opset(model, OPSET)
        for node in found:
            canvas = canvas_for(model, f"{node.name}/")
            attention = Attention(canvas, node)
            query, key, value = node.inputs[:3]
            inputs = [attention.queries(query), attention.keys(key), attention.keys(value)]
            replace(node, canvas, attention.standard(inputs))


class MhaToDecomposed(Lowering):
    """MultiHeadAttention(q, k, v) -> Softmax(q k^T) v, in the two forms of the other.

    A bias is added to the scores.
    """

    lowered = "MultiHeadAttention"

    def requires(self, model: ir.Model) -> str | None:
        """Masks and caches are not this pass's business."""
        return _more_than_qkv(model, BIAS)

    def apply(self, model: ir.Model) -> None:
        """Rewrite every MultiHeadAttention."""
        for node in nodes(model, self.lowered):
            canvas = canvas_for(model, f"{node.name}/")
            attention = Attention(canvas, node)
            query, key, value = node.inputs[:3]
            q = attention.queries(query)
            keys, values = attention.keys(key), attention.keys(value)
            mixed = attention.spelled_out(q, keys, values, attention.bias(node))
            replace(node, canvas, [mixed])


def _more_than_qkv(model: ir.Model, *allowed: int) -> str | None:
    """Return which MultiHeadAttention has a mask, a bias or a cache, or None.

    Inputs at the places `allowed` may be there.
    """
    for node in nodes(model, "MultiHeadAttention"):
        given = {place for place, value in enumerate(node.inputs) if value is not None}
        if len(node.outputs) > 1 or given - {0, 1, 2, *allowed}:
            return f"{node.name} has more than q, k and v"
    return None
