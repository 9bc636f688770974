"""Attention drawn over heads: spelled out in standard operators, or as ai.onnx Attention."""

from collections.abc import Sequence

import onnx_ir as ir

from whisperopt.graph.canvas import Canvas, made_by

BIAS = 5
"""Which input of MultiHeadAttention is added to its scores [B, H, S, L]."""
OPSET = 23
"""The opset that brought ai.onnx Attention."""


class Attention:
    """Draws one attention of `heads` heads over `kv_heads`; the scale is in the query's weights.

    So many `groups` of heads share one key/value head.
    """

    def __init__(self, canvas: Canvas, node: ir.Node) -> None:
        """Draw on `canvas` what the contributed attention `node` computes."""
        self.canvas = canvas
        given = node.attributes
        self.heads = given["num_heads"].as_int()
        self.kv_heads = given.get_int("kv_num_heads", self.heads)
        self.groups = self.heads // self.kv_heads

    def queries(self, value: ir.Value | None) -> ir.Value:
        """[B, S, H Dh] -> [B, H, S, Dh]."""
        return self._split(value, self.heads)

    def keys(self, value: ir.Value | None) -> ir.Value:
        """Keys or values: [B, S, Hkv Dh] -> [B, Hkv, S, Dh]; what is split already stays."""
        if value is not None and value.shape is not None and len(value.shape) == 4:
            return value
        return self._split(value, self.kv_heads)

    @staticmethod
    def bias(node: ir.Node) -> ir.Value | None:
        """Return what a MultiHeadAttention adds to its scores, before it was widened to [S, L]."""
        bias = node.inputs[BIAS] if len(node.inputs) > BIAS else None
        widened = made_by(bias, "Expand")
        return widened.inputs[0] if widened else bias

    def spelled_out(
        self,
        query: ir.Value,
        key: ir.Value,
        value: ir.Value,
        mask: ir.Value | None = None,
    ) -> ir.Value:
        """Return softmax(q k^T + mask) v [B, S, H Dh].

        q [B, H, S, Dh], k and v [B, Hkv, L, Dh]. Heads that share a key/value head are laid one
        after another along the query's tokens, so `mask` is [H / Hkv S, L] or spreads over it.
        """
        op, ints = self.canvas.op, self.canvas.ints
        if self.groups > 1:
            query = op("Reshape", query, ints(0, self.kv_heads, -1, 0))
        scores = op("MatMul", query, op("Transpose", key, perm=[0, 1, 3, 2]))
        if mask is not None:
            scores = op("Add", scores, mask)
        mixed = op("MatMul", op("Softmax", scores, axis=-1), value)
        if self.groups > 1:
            mixed = op("Reshape", mixed, ints(0, self.heads, -1, 0))
        return self.merged(mixed)

    def standard(
        self,
        inputs: Sequence[ir.Value | None],
        *,
        outputs: int = 1,
    ) -> list[ir.Value]:
        """Return [B, S, H Dh] and further outputs of ai.onnx Attention.

        `inputs` are q [B, H, S, Dh], k and v [B, Hkv, L, Dh], and optionally a mask, past keys and
        past values. Heads are split beforehand: runtimes disagreed on how inputs of three
        dimensions are split (onnx/onnx#7118).
        """
        made = self.canvas.node("Attention", inputs, scale=1.0, outputs=outputs)
        return [self.merged(made[0]), *made[1:]]

    def merged(self, value: ir.Value) -> ir.Value:
        """[B, H, S, Dh] -> [B, S, H Dh]."""
        rows = self.canvas.op("Transpose", value, perm=[0, 2, 1, 3])
        return self.canvas.op("Reshape", rows, self.canvas.ints(0, 0, -1))

    def _split(self, value: ir.Value | None, heads: int) -> ir.Value:
        split = self.canvas.op("Reshape", value, self.canvas.ints(0, 0, heads, -1))
        return self.canvas.op("Transpose", split, perm=[0, 2, 1, 3])
