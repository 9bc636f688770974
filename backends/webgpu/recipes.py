"""The ladder of WebGPU: half precision where shaders have it, which not every GPU offers."""

from whisperopt.backend import Recipe

RECIPES = (
    Recipe(
        name="gqa-fp16",
        summary="GroupQueryAttention in one shared buffer; cross-attention decomposed",
        self_attention="gqa",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="shared",
        encoder_precision="fp16",
        decoder_precision="fp16",
    ),
    Recipe(
        name="mha-fp16",
        summary="MultiHeadAttention with a growing cache; cross-attention decomposed",
        self_attention="mha",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="concat",
        encoder_precision="fp16",
        decoder_precision="fp16",
        stands_in_for=("gqa-fp16",),
    ),
    Recipe(
        name="decomposed-fp16",
        summary="Standard operators over a static cache: right for several tokens at once too",
        self_attention="decomposed",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="static",
        encoder_precision="fp16",
        decoder_precision="fp16",
    ),
    Recipe(
        name="gqa-fp32",
        summary="GroupQueryAttention in single precision, for GPUs whose shaders lack half",
        self_attention="gqa",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="shared",
        encoder_precision="fp32",
        decoder_precision="fp32",
    ),
    Recipe(
        name="decomposed-fp32",
        summary="Standard operators over a static cache in single precision",
        self_attention="decomposed",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="static",
        encoder_precision="fp32",
        decoder_precision="fp32",
        stands_in_for=("gqa-fp32",),
    ),
)
