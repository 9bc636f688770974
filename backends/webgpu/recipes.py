"""The ladder of WebGPU: half precision where shaders have it, which not every GPU offers."""

from whisperopt.ort_backend import GQA_FP16

DECOMPOSED = GQA_FP16.but(
    name="decomposed-fp16",
    summary="Standard operators over a static cache: right for several tokens at once too",
    self_attention="decomposed",
    cache="static",
)

RECIPES = (
    GQA_FP16,
    GQA_FP16.but(
        name="mha-fp16",
        summary="MultiHeadAttention with a growing cache; cross-attention decomposed",
        self_attention="mha",
        cache="concat",
        stands_in_for=("gqa-fp16",),
    ),
    DECOMPOSED,
    GQA_FP16.but(
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
