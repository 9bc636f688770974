"""Fewer key/value heads in the decoder's self-attention, by mean pooling: it loses words."""

from dataclasses import dataclass

import onnx_ir as ir

from whisperopt.graph.canvas import Array
from whisperopt.passes.rewrite import Pass, linear, mapped, nodes


@dataclass(frozen=True)
class GroupHeads(Pass):
    """GroupQueryAttention over Hkv key/value heads -> over G, each the mean of Hkv / G neighbours.

    Weights and biases of the key and value projections and the caches shrink by the same factor.
    Without retraining this is not lossless: see docs/head-grouping.md.
    """

    kv_heads: int
    """How many are kept."""

    def requires(self, model: ir.Model) -> str | None:
        """The number divides the heads that there are; keys and values have layers of their own."""
        for node in nodes(model, "GroupQueryAttention"):
            heads = _kv_heads(node)
            if self.kv_heads < 1 or heads % self.kv_heads:
                return (
                    f"{node.name} has {heads} key/value heads, not a multiple of {self.kv_heads}"
                )
            if not all(linear(value) for value in node.inputs[1:3]):
                return f"{node.name} has keys or values that are no linear layer of their own"
        return None

    def apply(self, model: ir.Model) -> None:
        """Pool the weights when they are written, and shrink the caches."""
        for node in nodes(model, "GroupQueryAttention"):
            heads = _kv_heads(node)
            if heads == self.kv_heads:
                continue
            for projected in node.inputs[1:3]:
                for part in linear(projected):
                    _pool(part, heads, self.kv_heads)
            node.attributes.add(ir.AttrInt64("kv_num_heads", self.kv_heads))
            for cache in (*node.inputs[3:5], *node.outputs[1:3]):
                if cache is not None and cache.shape is not None:
                    batch, _, *rest = cache.shape
                    cache.shape = ir.Shape([batch, self.kv_heads, *rest])

    def ensures(self, model: ir.Model) -> str | None:
        """Every self-attention has that many key/value heads."""
        for node in nodes(model, "GroupQueryAttention"):
            if _kv_heads(node) != self.kv_heads:
                return f"{node.name} still has {_kv_heads(node)} key/value heads"
        return None


def _kv_heads(node: ir.Node) -> int:
    return node.attributes["kv_num_heads"].as_int()


def _pool(parameter: ir.Value, heads: int, groups: int) -> None:
    """Turn a weight [in, Hkv Dh] or a bias [Hkv Dh] into the mean of each group's heads."""
    tensor = parameter.const_value
    if tensor is None:
        return
    *rows, width = tensor.shape.numpy()
    shape = [*rows, width * groups // heads]

    def pool(array: Array) -> Array:
        split = array.reshape(*rows, groups, heads // groups, width // heads)
        mean: Array = split.mean(axis=-2).astype(array.dtype)
        return mean

    parameter.const_value = mapped(tensor, pool, shape=shape)
    parameter.shape = ir.Shape(shape)
