"""The decoder graph: GroupQueryAttention over one in-place cache, lengths derived in the graph."""

import numpy as np
import onnx_ir as ir

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.canvas import MICROSOFT, Canvas, Dim, graph_input, typed
from whisperopt.graph.layers import FLOAT, Layers

INT32 = ir.DataType.INT32


def author(checkpoint: Checkpoint) -> ir.Model:
    """Draw the decoder of `checkpoint`.

    `input_ids` int32 [B, S], `past_sequence_length` int32 [1], the self caches [B, Hkv, C, Dh] and
    the cross caches [B, H, L, Dh] -> `logits` [B, S, V] and the self caches with S more tokens.
    There is no attention mask: GroupQueryAttention is causal and knows the lengths.
    """
    canvas = Canvas()
    layers = Layers(canvas, checkpoint)
    dims = checkpoint.dims
    ids = graph_input("input_ids", INT32, ["batch", "sequence"])
    past = graph_input("past_sequence_length", INT32, [1])
    self_shape: list[Dim] = ["batch", dims.decoder_kv_heads, dims.text_context, dims.head_size]
    cross_shape: list[Dim] = ["batch", dims.decoder_heads, "context", dims.head_size]
    self_cache = _cache_inputs("past_%s_self_%d", dims.decoder_layers, self_shape)
    cross_cache = _cache_inputs("past_%s_cross_%d", dims.decoder_layers, cross_shape)

    step = _Step(layers, ids, past)
    value = step.embed()
    outputs: list[ir.Value] = []
    for index in range(dims.decoder_layers):
        caches = self_cache[2 * index : 2 * index + 2]
        value, presents = step.self_attention(index, value, caches)
        for output, word in zip(presents, ("key", "value"), strict=True):
            output.name = f"present_{word}_self_{index}"
            outputs.append(typed(output, FLOAT, self_shape))
        value = step.cross_attention(index, value, cross_cache[2 * index : 2 * index + 2])
        value = layers.feed_forward(f"decoder.layers.{index}", value, dims.decoder_ffn)
    logits = step.logits(value)
    return canvas.model("decoder", [ids, past, *self_cache, *cross_cache], [logits, *outputs])


def _cache_inputs(pattern: str, layers: int, shape: list[Dim]) -> list[ir.Value]:
    return [
        graph_input(pattern % (word, index), FLOAT, shape)
        for index in range(layers)
        for word in ("key", "value")
    ]


class _Step:
    """Draws the decoder; holds the values that every layer shares."""

    def __init__(self, layers: Layers, ids: ir.Value, past: ir.Value) -> None:
        canvas = layers.canvas
        self.layers, self.canvas, self.dims, self.ids = layers, canvas, layers.dims, ids
        new = canvas.op("Cast", canvas.op("Shape", ids, start=1, end=2), to=int(INT32))
        total = canvas.op("Add", past, new)
        self.total_length = canvas.node("Squeeze", [total], name="total_sequence_length")[0]
        steps = canvas.op(
            "Range",
            canvas.constant("zero_scalar", np.array(0, np.int32)),
            canvas.op("Squeeze", new),
            canvas.constant("one_scalar", np.array(1, np.int32)),
        )
        self.positions = canvas.node("Add", [steps, past], name="positions")[0]
        # Off the positions, not off the total: GPUs want the total in the host's memory, and then
        # one length more would have to be copied to the device in every step.
        end = canvas.ints(np.iinfo(np.int64).max)
        last = canvas.op("Slice", self.positions, canvas.ints(-1), end, canvas.ints(0))
        batch = canvas.op("Shape", ids, start=0, end=1)
        self.seqlens_k = canvas.node("Expand", [last, batch], name="seqlens_k")[0]

    def embed(self) -> ir.Value:
        dims, parameter = self.dims, self.layers.parameter
        tokens = parameter("decoder.embed_tokens.weight", [dims.vocabulary, dims.width])
        places = parameter("decoder.embed_positions.weight", [dims.text_context, dims.width])
        words = self.canvas.op("Gather", tokens, self.ids)
        return self.canvas.op("Add", words, self.canvas.op("Gather", places, self.positions))

    def self_attention(
        self, index: int, value: ir.Value, cache: list[ir.Value]
    ) -> tuple[ir.Value, list[ir.Value]]:
        dims, layers = self.dims, self.layers
        name = f"decoder.layers.{index}"
        kv_width = dims.decoder_kv_heads * dims.head_size
        normed = layers.norm(f"{name}.self_attn_layer_norm", value)
        inputs = [
            layers.linear(f"{name}.self_attn.{part}_proj", normed, (dims.width, size))
            for part, size in (("q", dims.width), ("k", kv_width), ("v", kv_width))
        ]
        attributes: dict[str, object] = {
            "num_heads": dims.decoder_heads,
            "kv_num_heads": dims.decoder_kv_heads,
            # TensorRT-RTX refuses the implicit default
            "scale": layers.scale(dims.decoder_heads),
        }
        attended, *presents = self.canvas.node(
            "GroupQueryAttention",
            [*inputs, *cache, self.seqlens_k, self.total_length],
            attributes,
            domain=MICROSOFT,
            outputs=3,
            name=f"{name}.self_attn/attention",
        )
        typed(attended, FLOAT, ["batch", "sequence", dims.width])
        projected = layers.linear(f"{name}.self_attn.out_proj", attended, (dims.width, dims.width))
        return self.canvas.op("Add", value, projected), presents

    def cross_attention(self, index: int, value: ir.Value, cache: list[ir.Value]) -> ir.Value:
        dims, layers = self.dims, self.layers
        name = f"decoder.layers.{index}"
        sizes = (dims.width, dims.width)
        normed = layers.norm(f"{name}.encoder_attn_layer_norm", value)
        query = layers.linear(f"{name}.encoder_attn.q_proj", normed, sizes)
        shape: list[Dim] = ["batch", "sequence", dims.width]
        attended = layers.multi_head(
            f"{name}.encoder_attn", [query, *cache], dims.decoder_heads, shape
        )
        projected = layers.linear(f"{name}.encoder_attn.out_proj", attended, sizes)
        return self.canvas.op("Add", value, projected)

    def logits(self, value: ir.Value) -> ir.Value:
        dims, layers = self.dims, self.layers
        normed = layers.norm("decoder.layer_norm", value)
        untied = "proj_out.weight" in layers.names
        source = "proj_out.weight" if untied else "decoder.embed_tokens.weight"
        table = layers.parameter(source, [dims.vocabulary, dims.width])
        columns = self.canvas.op("Transpose", table, perm=[1, 0])
        logits = self.canvas.node("MatMul", [normed, columns], name="logits/MatMul")[0]
        logits.name = "logits"
        return typed(logits, FLOAT, ["batch", "sequence", dims.vocabulary])
