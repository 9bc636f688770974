"""Causal GroupQueryAttention over a shared buffer -> attention in other operators.

Where a cache grows, the input `past_sequence_length` gives way to the length of the past.
"""

from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from whisperopt.graph.canvas import MICROSOFT, input_called
from whisperopt.passes.attention import OPSET, Attention
from whisperopt.passes.caches import GrowCaches, OwnBuffers, Slots
from whisperopt.passes.rewrite import (
    Lowering,
    canvas_for,
    insert_before,
    need_opset,
    nodes,
    replace,
)


@dataclass(frozen=True)
class GqaToAttention(Lowering):
    """GroupQueryAttention(q, k, v, past) -> Attention(q, k, v, mask, ...) of opset 23.

    1. `concat`: the operator appends to the cache: past in, present out
    2. `static`: the operator has one output, as TensorRT asks; the cache keeps its length C and is
       updated before it: present = Where(slot >= past, new, past)

    The mask [1, 1, S, T] is explicit in both: what `is_causal` means for fewer queries than keys
    was long unsettled (onnx/onnx#8054). Fewer key/value heads than heads are native.
    """

    lowered = "GroupQueryAttention"
    cache: OwnBuffers

    def apply(self, model: ir.Model) -> None:
        """Rewrite every GroupQueryAttention; positions and mask are drawn once and shared."""
        found = nodes(model, self.lowered)
        if not found:
            return
        need_opset(model, OPSET)
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


@dataclass(frozen=True)
class GqaToDecomposed(Lowering):
    """GroupQueryAttention(q, k, v, past) -> Softmax(q k^T + mask) v, in standard operators.

    1. `static`: the cache keeps its length C; present = Where(slot >= past, new, past)
    2. `concat`: the cache grows; present = Concat(past, new)

    Heads that share a key/value head become further tokens of the query, so keys are never copied.
    """

    lowered = "GroupQueryAttention"
    cache: OwnBuffers

    def apply(self, model: ir.Model) -> None:
        """Rewrite every GroupQueryAttention; positions and mask are drawn once and shared."""
        found = nodes(model, self.lowered)
        if not found:
            return
        slots = Slots(model, self.cache)
        mask, drawn = slots.mask, canvas_for(model, "mask/")
        groups = Attention(drawn, found[0]).groups
        if groups > 1:  # once for every head that shares a key/value head, [H / Hkv S, T]
            mask = drawn.op("Concat", *[mask] * groups, axis=0)
        insert_before(found[0], drawn)
        for node in found:
            canvas = canvas_for(model, f"{node.name}/")
            attention = Attention(canvas, node)
            query, key, value, past_key, past_value = node.inputs[:5]
            q = attention.queries(query)
            k = slots.append(canvas, past_key, attention.keys(key))
            v = slots.append(canvas, past_value, attention.keys(value))
            replace(node, canvas, [attention.spelled_out(q, k, v, mask), k, v])


@dataclass(frozen=True)
class GqaToMha(Lowering):
    """GroupQueryAttention(q, k, v, past, lengths) -> MultiHeadAttention(q, k, v, past), causal.

    1. by the attribute `unidirectional`
    2. with an `explicit_mask`: by an attention bias [B, H, S, T] with nothing left to broadcast,
       for runtimes that ignore the attribute, such as DirectML

    The cache grows by concatenation.
    """

    lowered = "GroupQueryAttention"
    explicit_mask: bool = False

    def requires(self, model: ir.Model) -> str | None:
        """Every head needs a key/value head of its own."""
        for node in nodes(model, self.lowered):
            heads, kv_heads = (node.attributes[n].as_int() for n in ("num_heads", "kv_num_heads"))
            if heads != kv_heads:
                return f"{node.name} shares {kv_heads} key/value heads among {heads} heads"
        return None

    def apply(self, model: ir.Model) -> None:
        """Rewrite every GroupQueryAttention."""
        found = nodes(model, self.lowered)
        if not found:
            return
        GrowCaches().apply(model)
        bias = _bias(model, found[0]) if self.explicit_mask else None
        causal: dict[str, Any] = {} if self.explicit_mask else {"unidirectional": 1}
        for node in found:
            canvas = canvas_for(model, f"{node.name}/")
            query, key, value, past_key, past_value = node.inputs[:5]
            outputs = canvas.node(
                "MultiHeadAttention",
                [query, key, value, None, None, bias, past_key, past_value],
                domain=MICROSOFT,
                outputs=3,
                num_heads=node.attributes["num_heads"].as_int(),
                scale=1.0,
                **causal,
            )
            replace(node, canvas, outputs)


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
