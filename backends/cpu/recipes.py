"""The ladder of ONNX Runtime on the CPU: no half precision, which it would only cast away."""

import msgspec

from whisperopt.backend import Recipe

_SPANS = "silence behind a clip in few positions"
INT8 = Recipe(
    name="gqa-int8",
    summary="GroupQueryAttention in one shared buffer; 8-bit weights and encoder activations",
    self_attention="gqa",
    cross_attention="decomposed",
    encoder_attention="mha",
    cache="shared",
    encoder_precision="int8",
    decoder_precision="int8",
    int8="dynamic",
    traits=("last-logits",),
)

RECIPES = (
    Recipe(
        name="gqa-fp32",
        summary="GroupQueryAttention in one shared buffer; cross-attention decomposed; lossless",
        self_attention="gqa",
        cross_attention="decomposed",
        encoder_attention="mha",
        cache="shared",
        encoder_precision="fp32",
        decoder_precision="fp32",
        traits=("last-logits",),
    ),
    INT8,
    msgspec.structs.replace(
        INT8,
        name="gqa-int8-spans",
        summary=f"{INT8.summary}; {_SPANS}",
        audio_tail=1.0,
        traits=(*INT8.traits, "optional-spans"),
    ),
    msgspec.structs.replace(
        INT8,
        name="gqa-dynamic-spans",
        summary=f"GroupQueryAttention in one shared buffer; 8-bit weights and activations; {_SPANS}",
        audio_tail=1.0,
        traits=(*INT8.traits, "optional-spans", "dynamic-decoder"),
    ),
    msgspec.structs.replace(
        INT8,
        name="gqa-mixed",
        summary="GroupQueryAttention in one shared buffer; fp32 encoder, 8-bit decoder weights",
        encoder_precision="fp32",
        int8="block",
        stands_in_for=("gqa-int8", "gqa-int8-spans", "gqa-dynamic-spans"),
    ),
    Recipe(
        name="mha-fp32",
        summary="MultiHeadAttention with a growing cache; cross-attention decomposed; lossless",
        self_attention="mha",
        cross_attention="decomposed",
        encoder_attention="mha",
        cache="concat",
        encoder_precision="fp32",
        decoder_precision="fp32",
        traits=("last-logits",),
        stands_in_for=("gqa-fp32",),
    ),
    msgspec.structs.replace(
        INT8,
        name="mha-int8",
        summary="MultiHeadAttention with a growing cache; 8-bit weights and encoder activations",
        self_attention="mha",
        cache="concat",
        stands_in_for=("gqa-int8", "gqa-int8-spans", "gqa-dynamic-spans", "gqa-mixed"),
    ),
    Recipe(
        name="attention-fp32",
        summary="ai.onnx Attention-23 with a growing cache; cross-attention decomposed; lossless",
        self_attention="attention",
        cross_attention="decomposed",
        encoder_attention="attention",
        cache="concat",
        encoder_precision="fp32",
        decoder_precision="fp32",
        stands_in_for=("gqa-fp32", "mha-fp32"),
    ),
    Recipe(
        name="decomposed-fp32",
        summary="Standard operators of opset 20 over a growing cache; lossless",
        self_attention="decomposed",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="concat",
        encoder_precision="fp32",
        decoder_precision="fp32",
        stands_in_for=("gqa-fp32", "mha-fp32", "attention-fp32"),
    ),
)
