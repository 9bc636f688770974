"""The ladder of OpenVINO on the CPU: stateful caches, cross-attention decomposed."""

from whisperopt.backend import Recipe

_PRECISION = "INFERENCE_PRECISION_HINT"

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
    Recipe(
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
        options={_PRECISION: "bf16"},
    ),
)
