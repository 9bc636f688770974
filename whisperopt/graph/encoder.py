"""The encoder graph: log-mel features in, hidden states and every layer's cross keys/values out."""

import onnx_ir as ir

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.canvas import Canvas, graph_input, typed
from whisperopt.graph.layers import FLOAT, Layers


def author(checkpoint: Checkpoint) -> ir.Model:
    """Draw the encoder of `checkpoint`.

    `audio_features` float32 [B, mels, frames] -> `hidden_states` [B, frames / 2, D] and, for each
    decoder layer, `present_key_cross_%d` and `present_value_cross_%d` [B, H, frames / 2, Dh].
    """
    canvas = Canvas()
    layers = Layers(canvas, checkpoint)
    dims = checkpoint.dims
    features = graph_input("audio_features", FLOAT, ["batch", dims.mels, "frames"])
    value = _front_end(layers, features)
    for index in range(dims.encoder_layers):
        name = f"encoder.layers.{index}"
        value = layers.attention(f"{name}.self_attn", value, "context", dims.encoder_heads)
        value = layers.feed_forward(name, value)
    hidden = layers.norm("encoder.layer_norm", value)
    hidden.name = "hidden_states"
    typed(hidden, FLOAT, ["batch", "context", dims.width])
    outputs = [hidden]
    for index in range(dims.decoder_layers):
        outputs += cross_cache(layers, index, hidden)
    return canvas.model("encoder", [features], outputs)


def _front_end(layers: Layers, features: ir.Value) -> ir.Value:
    canvas, value = layers.canvas, features
    for name, stride in (("encoder.conv1", 1), ("encoder.conv2", 2)):
        weights = [layers.parameter(f"{name}.{part}") for part in ("weight", "bias")]
        sizes = {"kernel_shape": [3], "pads": [1, 1], "strides": [stride]}
        value = canvas.op("Conv", value, *weights, name=name, **sizes)
        value = canvas.op("Gelu", value, name=f"{name}/Gelu")
    value = canvas.op("Transpose", value, perm=[0, 2, 1])
    table = layers.parameter("encoder.embed_positions.weight")
    length = canvas.op("Shape", value, start=1, end=2)
    positions = canvas.op("Slice", table, canvas.ints(0), length, canvas.ints(0))
    return canvas.op("Add", value, positions)


def cross_cache(layers: Layers, index: int, hidden: ir.Value) -> list[ir.Value]:
    """Draw the keys and values of decoder layer `index` over `hidden`, [B, H, frames / 2, Dh]."""
    dims, op = layers.dims, layers.canvas.op
    heads, size = dims.decoder_heads, dims.head_size
    outputs = []
    for part, word in (("k", "key"), ("v", "value")):
        projected = layers.linear(f"decoder.layers.{index}.encoder_attn.{part}_proj", hidden)
        split = op("Reshape", projected, layers.canvas.ints(0, 0, heads, size))
        output = op("Transpose", split, perm=[0, 2, 1, 3])
        output.name = f"present_{word}_cross_{index}"
        outputs.append(typed(output, FLOAT, ["batch", heads, "context", size]))
    return outputs
