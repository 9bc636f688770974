"""Bidirectional MultiHeadAttention -> MatMul, Softmax, MatMul."""

import onnx_ir as ir

from whisperopt.passes.attention import Attention, unscalable
from whisperopt.passes.rewrite import canvas_for, nodes, none_left, replace


class MhaToDecomposed:
    """MultiHeadAttention(q, k, v) -> Softmax(scale q k^T) v, in standard operators.

    1. q, k, v [B, S, D]: all three are split into heads (the encoder)
    2. q [B, S, D]; k, v [B, H, L, Dh]: only q is (cross-attention over a cache)

    The scale goes into the weights of q.
    """

    def requires(self, model: ir.Model) -> str | None:
        """Masks, biases and caches are not this pass's business; a query comes from its own layer."""
        for node in nodes(model, "MultiHeadAttention"):
            if len(node.outputs) > 1 or any(value is not None for value in node.inputs[3:]):
                return f"{node.name} has more than q, k and v"
        return unscalable(model, "MultiHeadAttention")

    def apply(self, model: ir.Model) -> None:
        """Rewrite every MultiHeadAttention."""
        for node in nodes(model, "MultiHeadAttention"):
            canvas = canvas_for(model, f"{node.name}/")
            attention = Attention.of(canvas, node)
            query, key, value = node.inputs[:3]
            q = attention.scaled_heads(query)
            k, v = (attention.heads_of(x) if _rank(x) == 3 else x for x in (key, value))
            replace(node, canvas, [attention.attend(q, k, v)])

    def ensures(self, model: ir.Model) -> str | None:
        """No MultiHeadAttention is left."""
        return none_left(model, "MultiHeadAttention")


def _rank(value: ir.Value | None) -> int:
    return 3 if value is None or value.shape is None else len(value.shape)
