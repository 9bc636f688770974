"""The decoder graph: GroupQueryAttention over one in-place cache, lengths derived in the graph."""

from collections.abc import Sequence

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

    positions, *lengths = _places(canvas, ids, past)
    value = _embedded(layers, ids, positions)
    outputs: list[ir.Value] = []
    for index in range(dims.decoder_layers):
        name, pair = f"decoder.layers.{index}", slice(2 * index, 2 * index + 2)
        inputs = [*self_cache[pair], *lengths]
        value, presents = _self_attention(layers, f"{name}.self_attn", value, inputs)
        for output, word in zip(presents, ("key", "value"), strict=True):
            output.name = f"present_{word}_self_{index}"
            outputs.append(typed(output, FLOAT, self_shape))
        value = layers.attention(
            f"{name}.encoder_attn", value, "sequence", dims.decoder_heads, cross_cache[pair]
        )
        value = layers.feed_forward(name, value)
    logits = _logits(layers, value)
    return canvas.model("decoder", [ids, past, *self_cache, *cross_cache], [logits, *outputs])


def _cache_inputs(pattern: str, layers: int, shape: list[Dim]) -> list[ir.Value]:
    return [
        graph_input(pattern % (word, index), FLOAT, shape)
        for index in range(layers)
        for word in ("key", "value")
    ]


def _places(canvas: Canvas, ids: ir.Value, past: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Draw the new tokens' positions, `seqlens_k` and `total_sequence_length`."""
    new = canvas.op("Cast", canvas.op("Shape", ids, start=1, end=2), to=int(INT32))
    total = canvas.op("Squeeze", canvas.op("Add", past, new), name="total_sequence_length")
    steps = canvas.op(
        "Range",
        canvas.constant("zero_scalar", np.array(0, np.int32)),
        canvas.op("Squeeze", new),
        canvas.constant("one_scalar", np.array(1, np.int32)),
    )
    positions = canvas.op("Add", steps, past, name="positions")
    # Off the positions, not off the total: GPUs want the total in the host's memory, and then
    # one length more would have to be copied to the device in every step.
    end = canvas.ints(np.iinfo(np.int64).max)
    last = canvas.op("Slice", positions, canvas.ints(-1), end, canvas.ints(0))
    batch = canvas.op("Shape", ids, start=0, end=1)
    return positions, canvas.op("Expand", last, batch, name="seqlens_k"), total


def _embedded(layers: Layers, ids: ir.Value, positions: ir.Value) -> ir.Value:
    tokens = layers.parameter("decoder.embed_tokens.weight")
    places = layers.parameter("decoder.embed_positions.weight")
    op = layers.canvas.op
    return op("Add", op("Gather", tokens, ids), op("Gather", places, positions))


def _self_attention(
    layers: Layers, name: str, value: ir.Value, cache: Sequence[ir.Value]
) -> tuple[ir.Value, Sequence[ir.Value]]:
    """Return x + out_proj(attention of norm(x) over the cache and its lengths), and the presents."""
    dims = layers.dims
    normed = layers.norm(f"{name}_layer_norm", value)
    inputs = [layers.query(name, normed, dims.decoder_heads)]
    inputs += [layers.linear(f"{name}.{part}_proj", normed) for part in "kv"]
    attended, *presents = layers.canvas.node(
        "GroupQueryAttention",
        [*inputs, *cache],
        domain=MICROSOFT,
        outputs=3,
        name=f"{name}/attention",
        num_heads=dims.decoder_heads,
        kv_num_heads=dims.decoder_kv_heads,
        scale=1.0,  # TensorRT-RTX refuses the implicit default
    )
    typed(attended, FLOAT, ["batch", "sequence", dims.width])
    projected = layers.linear(f"{name}.out_proj", attended)
    return layers.canvas.op("Add", value, projected), presents


def _logits(layers: Layers, value: ir.Value) -> ir.Value:
    dims, op = layers.dims, layers.canvas.op
    normed = layers.norm("decoder.layer_norm", value)
    untied = "proj_out.weight" in layers.names
    source = "proj_out.weight" if untied else "decoder.embed_tokens.weight"
    table = layers.parameter(source, [dims.vocabulary, dims.width])
    columns = op("Transpose", table, perm=[1, 0])
    logits = op("MatMul", normed, columns, name="logits/MatMul")
    logits.name = "logits"
    return typed(logits, FLOAT, ["batch", "sequence", dims.vocabulary])
