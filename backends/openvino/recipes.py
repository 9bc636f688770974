"""The ladder of OpenVINO on the CPU: stateful caches, cross-attention decomposed."""

import msgspec

from whisperopt.backend import Recipe

_PRECISION = "INFERENCE_PRECISION_HINT"
_SPANS = "silence behind a clip in few positions"
INT8 = Recipe(
    name="mha-int8",
    summary="MultiHeadAttention with a stateful cache; 8-bit weights everywhere",
    self_attention="mha",
    cross_attention="decomposed",
    encoder_attention="decomposed",
    cache="concat",
    encoder_precision="int8",
    decoder_precision="int8",
    int8="group",
    options={_PRECISION: "f32"},
)

RECIPES = (
    Recipe(
        name="mha-fp32",
        summary="MultiHeadAttention with a stateful cache; lossless",
        self_attention="mha",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="concat",
        encoder_precision="fp32",
        decoder_precision="fp32",
        options={_PRECISION: "f32"},
    ),
    msgspec.structs.replace(
        INT8,
        name="mha-int8-spans",
        summary=f"{INT8.summary}; {_SPANS}",
        audio_tail=1.0,
    ),
    msgspec.structs.replace(
        INT8,
        name="mha-int8-bf16-spans",
        summary=f"{INT8.summary}, computed in bfloat16 where the CPU can; {_SPANS}",
        audio_tail=1.0,
        computes="bf16",
        options={_PRECISION: "bf16"},
    ),
    Recipe(
        name="mha-bf16",
        summary="MultiHeadAttention with a stateful cache; computed in bfloat16 where the CPU can",
        self_attention="mha",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="concat",
        encoder_precision="fp32",
        decoder_precision="fp32",
        computes="bf16",
        options={_PRECISION: "bf16"},
    ),
    msgspec.structs.replace(INT8, stands_in_for=("mha-int8-spans", "mha-int8-bf16-spans")),
    Recipe(
        name="attention-fp32",
        summary="ai.onnx Attention-23 with a stateful cache; lossless",
        self_attention="attention",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="concat",
        encoder_precision="fp32",
        decoder_precision="fp32",
        options={_PRECISION: "f32"},
        stands_in_for=("mha-fp32",),
    ),
    Recipe(
        name="gqa-fp32",
        summary="GroupQueryAttention with a stateful cache; batches of one only; lossless",
        self_attention="gqa",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="concat",
        encoder_precision="fp32",
        decoder_precision="fp32",
        options={_PRECISION: "f32"},
        stands_in_for=("mha-fp32", "attention-fp32"),
    ),
    Recipe(
        name="decomposed-fp32",
        summary="Standard operators of opset 20 over a stateful cache; lossless",
        self_attention="decomposed",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="concat",
        encoder_precision="fp32",
        decoder_precision="fp32",
        options={_PRECISION: "f32"},
        stands_in_for=("mha-fp32", "attention-fp32", "gqa-fp32"),
    ),
    msgspec.structs.replace(
        INT8,
        name="decomposed-int8",
        summary="Standard operators of opset 20 over a stateful cache; 8-bit weights everywhere",
        self_attention="decomposed",
        stands_in_for=("mha-int8-spans", "mha-int8-bf16-spans", "mha-int8"),
    ),
)
