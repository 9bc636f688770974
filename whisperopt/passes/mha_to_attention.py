"""Bidirectional MultiHeadAttention -> ai.onnx Attention."""

import onnx_ir as ir

from whisperopt.passes.attention import Attention, allow_attention, more_than_qkv
from whisperopt.passes.rewrite import canvas_for, nodes, none_left, replace


class MhaToAttention:
    """MultiHeadAttention(q, k, v) -> Attention(q, k, v) of opset 23, all of [B, H, S, Dh].

    1. q, k, v [B, S, D]: all three are split into heads (the encoder)
    2. q [B, S, D]; k, v [B, H, L, Dh]: only q is (cross-attention over a cache)
    """

    def requires(self, model: ir.Model) -> str | None:
        """Masks, biases and caches are not this pass's business."""
        return more_than_qkv(model)

    def apply(self, model: ir.Model) -> None:
        """Rewrite every MultiHeadAttention."""
        found = nodes(model, "MultiHeadAttention")
        if found:
            allow_attention(model)
        for node in found:
            canvas = canvas_for(model, f"{node.name}/")
            attention = Attention(canvas, node)
            query, key, value = node.inputs[:3]
            inputs = [attention.queries(query), attention.keys(key), attention.keys(value)]
            replace(node, canvas, attention.standard(inputs))

    def ensures(self, model: ir.Model) -> str | None:
        """No MultiHeadAttention is left."""
        return none_left(model, "MultiHeadAttention")
