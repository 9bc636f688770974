"""Bidirectional MultiHeadAttention -> MatMul, Softmax, MatMul."""

import onnx_ir as ir

from whisperopt.passes.attention import Attention, more_than_qkv, unscalable
from whisperopt.passes.rewrite import canvas_for, nodes, none_left, replace


class MhaToDecomposed:
    """MultiHeadAttention(q, k, v) -> Softmax(scale q k^T) v, in standard operators.

    1. q, k, v [B, S, D]: all three are split into heads (the encoder)
    2. q [B, S, D]; k, v [B, H, L, Dh]: only q is (cross-attention over a cache)

    A bias is added to the scores. The scale goes into the weights of q.
    """

    def requires(self, model: ir.Model) -> str | None:
        """Masks, biases and caches are not this pass's business; a query comes from its own layer."""
        return more_than_qkv(model, but_bias=True) or unscalable(model, "MultiHeadAttention")

    def apply(self, model: ir.Model) -> None:
        """Rewrite every MultiHeadAttention."""
        for node in nodes(model, "MultiHeadAttention"):
            canvas = canvas_for(model, f"{node.name}/")
            attention = Attention(canvas, node)
            query, key, value = node.inputs[:3]
            q = attention.scaled_queries(query)
            keys, values = attention.keys(key), attention.keys(value)
            mixed = attention.spelled_out(q, keys, values, attention.bias(node))
            replace(node, canvas, [mixed])

    def ensures(self, model: ir.Model) -> str | None:
        """No MultiHeadAttention is left."""
        return none_left(model, "MultiHeadAttention")
