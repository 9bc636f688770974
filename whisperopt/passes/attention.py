"""Attention spelled out in standard operators: what the decomposing passes draw."""

from typing import Self

import onnx_ir as ir

from whisperopt.graph.canvas import Canvas
from whisperopt.passes.rewrite import linear, nodes, rescale


def unscalable(model: ir.Model, op_type: str) -> str | None:
    """Return why the scale of some attention cannot go into its query's weights, or None."""
    for node in nodes(model, op_type):
        if not linear(node.inputs[0]):
            return f"{node.name} has a query that is no linear layer of its own to take the scale"
    return None


class Attention:
    """Draws one attention with `heads` heads whose scores are multiplied by `scale`."""

    def __init__(self, canvas: Canvas, heads: int, scale: float) -> None:
        """Draw on `canvas`."""
        self.canvas, self.heads, self.scale = canvas, heads, scale

    @classmethod
    def of(cls, canvas: Canvas, node: ir.Node) -> Self:
        """Take heads and scale from a contributed attention node."""
        return cls(
            canvas, node.attributes["num_heads"].as_int(), node.attributes["scale"].as_float()
        )

    def heads_of(self, value: ir.Value | None) -> ir.Value:
        """[B, S, H Dh] -> [B, H, S, Dh]."""
        split = self.canvas.op("Reshape", value, self.canvas.ints(0, 0, self.heads, -1))
        return self.canvas.op("Transpose", split, perm=[0, 2, 1, 3])

    def scaled_heads(self, query: ir.Value | None) -> ir.Value:
        """Split the query into heads with the scale folded in: keys and scores are far larger."""
        if query is not None:
            rescale(query, self.scale)
        return self.heads_of(query)

    def attend(
        self,
        query: ir.Value | None,
        key: ir.Value | None,
        value: ir.Value | None,
        mask: ir.Value | None = None,
    ) -> ir.Value:
        """Return softmax(q k^T + mask) v: q [B, H, S, Dh], k and v [B, H, L, Dh] -> [B, S, H Dh]."""
        op = self.canvas.op
        scores = op("MatMul", query, op("Transpose", key, perm=[0, 1, 3, 2]))
        if mask is not None:
            scores = op("Add", scores, mask)
        mixed = op("MatMul", op("Softmax", scores, axis=-1), value)
        return op("Reshape", op("Transpose", mixed, perm=[0, 2, 1, 3]), self.canvas.ints(0, 0, -1))
