"""Causal GroupQueryAttention -> MultiHeadAttention with a growing cache."""

import onnx_ir as ir

from whisperopt.graph.canvas import MICROSOFT, input_called
from whisperopt.passes.caches import Slots, grouped_heads
from whisperopt.passes.grow_caches import GrowCaches
from whisperopt.passes.rewrite import canvas_for, insert_before, nodes, none_left, replace


class GqaToMha:
    """GroupQueryAttention(q, k, v, past, lengths) -> MultiHeadAttention(q, k, v, past), causal.

    1. by the attribute `unidirectional`
    2. with an `explicit_mask`: by an attention bias [B, H, S, T] with nothing left to broadcast,
       for runtimes that ignore the attribute, such as DirectML

    The cache grows by concatenation; its length replaces the input `past_sequence_length`.
    """

    def __init__(self, *, explicit_mask: bool = False) -> None:
        """Choose what makes it causal."""
        self.explicit_mask = explicit_mask

    def requires(self, model: ir.Model) -> str | None:
        """Every head needs a key/value head of its own."""
        return grouped_heads(model)

    def apply(self, model: ir.Model) -> None:
        """Rewrite every GroupQueryAttention."""
        found = nodes(model, "GroupQueryAttention")
        if not found:
            return
        GrowCaches().apply(model)
        bias = _bias(model, found[0]) if self.explicit_mask else None
        causal: dict[str, object] = {} if self.explicit_mask else {"unidirectional": 1}
        for node in found:
            canvas = canvas_for(model, f"{node.name}/")
            query, key, value, past_key, past_value = node.inputs[:5]
            attributes: dict[str, object] = {
                "num_heads": node.attributes["num_heads"].as_int(),
                "scale": node.attributes["scale"].as_float(),
            }
            outputs = canvas.node(
                "MultiHeadAttention",
                [query, key, value, None, None, bias, past_key, past_value],
                attributes | causal,
                domain=MICROSOFT,
                outputs=3,
            )
            replace(node, canvas, outputs)

    def ensures(self, model: ir.Model) -> str | None:
        """No GroupQueryAttention is left."""
        return none_left(model, "GroupQueryAttention")


def _bias(model: ir.Model, first: ir.Node) -> ir.Value:
    """Draw the mask of a step for every row and head, [B, H, S, T]."""
    slots = Slots(model, "concat")
    canvas = canvas_for(model, "mask/")
    op = canvas.op
    ids = input_called(model, "input_ids")
    heads = canvas.ints(first.attributes["num_heads"].as_int())
    shape = op("Concat", op("Shape", ids, start=0, end=1), heads, op("Shape", slots.mask), axis=0)
    bias = op("Expand", slots.mask, shape)
    insert_before(first, canvas)
    return bias
