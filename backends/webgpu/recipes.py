"""The ladder of WebGPU: half precision where shaders have it, which not every GPU offers."""

from whisperopt.backend import Recipe

GQA = Recipe(
    name="gqa-fp16",
    summary="GroupQueryAttention in one shared buffer; cross-attention decomposed",
    self_attention="gqa",
    cross_attention="decomposed",
    encoder_attention="decomposed",
    cache="shared",
    encoder_precision="fp16",
    decoder_precision="fp16",
)
DECOMPOSED = GQA.but(
    name="decomposed-fp16",
    summary="Standard operators over a static cache: right for several tokens at once too",
    self_attention="decomposed",
    cache="static",
)

RECIPES = (
    GQA,
    GQA.but(
        name="mha-fp16",
        summary="MultiHeadAttention with a growing cache; cross-attention decomposed",
        self_attention="mha",
        cache="concat",
        stands_in_for=("gqa-fp16",),
    ),
    DECOMPOSED,
    GQA.but(
        name="gqa-fp32",
        summary="GroupQueryAttention in single precision, for GPUs whose shaders lack half",
        precision="fp32",
    ),
    DECOMPOSED.but(
        name="decomposed-fp32",
        summary="Standard operators over a static cache in single precision",
        precision="fp32",
        stands_in_for=("gqa-fp32",),
    ),
)
