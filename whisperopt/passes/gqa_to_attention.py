"""Causal GroupQueryAttention -> ai.onnx Attention over a static or a growing cache."""

import onnx_ir as ir

from whisperopt.passes.attention import Attention, allow_attention
from whisperopt.passes.caches import OwnBuffers, Slots
from whisperopt.passes.rewrite import canvas_for, insert_before, nodes, none_left, replace


class GqaToAttention:
    """GroupQueryAttention(q, k, v, past) -> Attention(q, k, v, mask, ...) of opset 23.

    1. `concat`: the operator appends to the cache: past in, present out; the input
       `past_sequence_length` gives way to the length of the past
    2. `static`: the operator has one output, as TensorRT asks; the cache keeps its length C and is
       updated before it: present = Where(slot >= past, new, past)

    The mask [1, 1, S, T] is explicit in both: what `is_causal` means for fewer queries than keys
    was long unsettled (onnx/onnx#8054). Fewer key/value heads than heads are native.
    """

    def __init__(self, cache: OwnBuffers) -> None:
        """Choose the form of the cache."""
        self.cache = cache

    def requires(self, model: ir.Model) -> str | None:
        """Nothing."""

    def apply(self, model: ir.Model) -> None:
        """Rewrite every GroupQueryAttention; positions and mask are drawn once and shared."""
        found = nodes(model, "GroupQueryAttention")
        if not found:
            return
        allow_attention(model)
        slots = Slots(model, self.cache)
        drawn = canvas_for(model, "mask/")
        mask = drawn.op("Unsqueeze", slots.mask, drawn.ints(0, 1))
        insert_before(found[0], drawn)
        for node in found:
            canvas = canvas_for(model, f"{node.name}/")
            attention = Attention(canvas, node)
            query, key, value, *past = node.inputs[:5]
            q, k, v = attention.queries(query), attention.keys(key), attention.keys(value)
            if self.cache == "concat":
                outputs = attention.standard([q, k, v, mask, *past], outputs=3)
            else:
                k, v = (
                    slots.append(canvas, old, new) for old, new in zip(past, (k, v), strict=True)
                )
                outputs = [*attention.standard([q, k, v, mask]), k, v]
            replace(node, canvas, outputs)

    def ensures(self, model: ir.Model) -> str | None:
        """No GroupQueryAttention is left."""
        return none_left(model, "GroupQueryAttention")
