"""The encoder graph: log-mel features in, hidden states and every layer's cross keys/values out."""

import onnx_ir as ir

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.canvas import Canvas, Dim, graph_input, typed
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
        value = _layer(layers, f"encoder.layers.{index}", value)
    hidden = layers.norm("encoder.layer_norm", value)
    hidden.name = "hidden_states"
    typed(hidden, FLOAT, ["batch", "context", dims.width])
    outputs = [hidden]
    for index in range(dims.decoder_layers):
        outputs += cross_cache(layers, index, hidden)
    return canvas.model("encoder", [features], outputs)


def _front_end(layers: Layers, features: ir.Value) -> ir.Value:
    canvas, dims = layers.canvas, layers.dims
    value = features
    for name, channels, stride in (("conv1", dims.mels, 1), ("conv2", dims.width, 2)):
        weight = layers.parameter(f"encoder.{name}.weight", [dims.width, channels, 3])
        bias = layers.parameter(f"encoder.{name}.bias", [dims.width])
        attributes: dict[str, object] = {"kernel_shape": [3], "pads": [1, 1], "strides": [stride]}
        value = canvas.node("Conv", [value, weight, bias], attributes, name=f"encoder.{name}")[0]
        value = canvas.node("Gelu", [value], name=f"encoder.{name}/Gelu")[0]
    value = canvas.op("Transpose", value, perm=[0, 2, 1])
    table = layers.parameter("encoder.embed_positions.weight", [dims.audio_context, dims.width])
    length = canvas.op("Shape", value, start=1, end=2)
    positions = canvas.op("Slice", table, canvas.ints(0), length, canvas.ints(0))
    return canvas.op("Add", value, positions)


def _layer(layers: Layers, name: str, value: ir.Value) -> ir.Value:
    dims = layers.dims
    normed = layers.norm(f"{name}.self_attn_layer_norm", value)
    sizes = (dims.width, dims.width)
    inputs = [layers.linear(f"{name}.self_attn.{p}_proj", normed, sizes) for p in "qkv"]
    shape: list[Dim] = ["batch", "context", dims.width]
    attended = layers.multi_head(f"{name}.self_attn", inputs, dims.encoder_heads, shape)
    projected = layers.linear(f"{name}.self_attn.out_proj", attended, sizes)
    value = layers.canvas.op("Add", value, projected)
    return layers.feed_forward(name, value, dims.encoder_ffn)


def cross_cache(layers: Layers, index: int, hidden: ir.Value) -> list[ir.Value]:
    """Draw the keys and values of decoder layer `index` over `hidden`, [B, H, frames / 2, Dh]."""
    dims = layers.dims
    outputs = []
    for part, word in (("k", "key"), ("v", "value")):
        name = f"decoder.layers.{index}.encoder_attn.{part}_proj"
        projected = layers.linear(name, hidden, (dims.width, dims.width))
        output = layers.split_heads(projected, dims.decoder_heads)
        output.name = f"present_{word}_cross_{index}"
        shape: list[Dim] = ["batch", dims.decoder_heads, "context", dims.head_size]
        outputs.append(typed(output, FLOAT, shape))
    return outputs
