"""Causal GroupQueryAttention -> MultiHeadAttention with a growing cache."""

import onnx_ir as ir

from whisperopt.graph.canvas import MICROSOFT
from whisperopt.passes.caches import grouped_heads, grow_caches
from whisperopt.passes.rewrite import canvas_for, nodes, none_left, replace


class GqaToMha:
    """GroupQueryAttention(q, k, v, past, lengths) -> MultiHeadAttention(q, k, v, past), causal.

    The cache grows by concatenation; its length replaces the input `past_sequence_length`.
    """

    def requires(self, model: ir.Model) -> str | None:
        """Every head needs a key/value head of its own."""
        return grouped_heads(model)

    def apply(self, model: ir.Model) -> None:
        """Rewrite every GroupQueryAttention."""
        found = nodes(model, "GroupQueryAttention")
        if found:
            grow_caches(model)
        for node in found:
            canvas = canvas_for(model, f"{node.name}/")
            query, key, value, past_key, past_value = node.inputs[:5]
            outputs = canvas.node(
                "MultiHeadAttention",
                [query, key, value, None, None, None, past_key, past_value],
                {
                    "num_heads": node.attributes["num_heads"].as_int(),
                    "scale": node.attributes["scale"].as_float(),
                    "unidirectional": 1,
                },
                domain=MICROSOFT,
                outputs=3,
            )
            replace(node, canvas, outputs)

    def ensures(self, model: ir.Model) -> str | None:
        """No GroupQueryAttention is left."""
        return none_left(model, "GroupQueryAttention")
