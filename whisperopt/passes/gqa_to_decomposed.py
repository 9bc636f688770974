"""Causal GroupQueryAttention -> standard operators over a static or a growing cache."""

import onnx_ir as ir

from whisperopt.passes.attention import Attention, unscalable
from whisperopt.passes.caches import OwnBuffers, Slots
from whisperopt.passes.rewrite import canvas_for, insert_before, nodes, none_left, replace


class GqaToDecomposed:
    """GroupQueryAttention(q, k, v, past) -> Softmax(scale q k^T + mask) v, in standard operators.

    1. `static`: the cache keeps its length C; present = Where(slot >= past, new, past)
    2. `concat`: the cache grows; present = Concat(past, new), and the input
       `past_sequence_length` gives way to the length of the past

    Heads that share a key/value head become further tokens of the query, so keys are never copied.
    """

    def __init__(self, cache: OwnBuffers) -> None:
        """Choose the form of the cache."""
        self.cache = cache

    def requires(self, model: ir.Model) -> str | None:
        """Every query comes from a layer of its own."""
        return unscalable(model, "GroupQueryAttention")

    def apply(self, model: ir.Model) -> None:
        """Rewrite every GroupQueryAttention; positions and mask are drawn once and shared."""
        found = nodes(model, "GroupQueryAttention")
        if not found:
            return
        slots = Slots(model, self.cache)
        mask = _repeated(model, slots, found[0])
        for node in found:
            canvas = canvas_for(model, f"{node.name}/")
            attention = Attention(canvas, node)
            query, key, value, past_key, past_value = node.inputs[:5]
            q = attention.scaled_queries(query)
            k = slots.append(canvas, past_key, attention.keys(key))
            v = slots.append(canvas, past_value, attention.keys(value))
            replace(node, canvas, [attention.spelled_out(q, k, v, mask), k, v])

    def ensures(self, model: ir.Model) -> str | None:
        """No GroupQueryAttention is left."""
        return none_left(model, "GroupQueryAttention")


def _repeated(model: ir.Model, slots: Slots, first: ir.Node) -> ir.Value:
    """Return the mask once for every head that shares a key/value head, [H / Hkv S, T]."""
    canvas = canvas_for(model, "mask/")
    groups = Attention(canvas, first).groups
    if groups == 1:
        return slots.mask
    mask = canvas.op("Concat", *[slots.mask] * groups, axis=0)
    insert_before(first, canvas)
    return mask
