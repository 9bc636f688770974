"""The ladder of CUDA: GroupQueryAttention exists there in half precision only."""

from whisperopt.backend import Tier
from whisperopt.ort_backend import GQA_FP16

_HALF = ("gqa-fp16", "gqa-bf16", "gqa-decomposed-fp16", "mha-fp16", "attention-fp16")
GQA = GQA_FP16.but(
    summary="GroupQueryAttention in one shared buffer; 4-D MultiHeadAttention over the audio",
    cross_attention="mha",
    encoder_attention="mha",
)
MHA = GQA.but(
    name="mha-fp16",
    summary="MultiHeadAttention with a growing cache, and in 4-D over the audio",
    self_attention="mha",
    cache="concat",
    stands_in_for=_HALF[:3],
)
DECOMPOSED = GQA_FP16.but(
    name="decomposed-fp16",
    summary="Standard operators over a static cache: what every CUDA kernel set has",
    self_attention="decomposed",
    cache="static",
)

RECIPES = (
    GQA,
    GQA.but(
        name="gqa-bf16",
        summary="The same in bfloat16, which cannot overflow; GPUs of compute capability 8.0",
        precision="bf16",
        stands_in_for=_HALF[:1],
        selectable_from=Tier.MEASURED,
        caution="nothing on a CPU can emulate bfloat16",
    ),
    GQA_FP16.but(
        name="gqa-decomposed-fp16",
        summary="GroupQueryAttention in one shared buffer; all other attention in standard operators",
        stands_in_for=_HALF[:1],
    ),
    MHA,
    MHA.but(
        name="attention-fp16",
        summary="ai.onnx Attention-23 with a growing cache, and over the audio",
        self_attention="attention",
        cross_attention="attention",
        encoder_attention="attention",
        stands_in_for=_HALF[:4],
    ),
    DECOMPOSED,
    MHA.but(
        name="mha-fp32",
        summary="MultiHeadAttention with a growing cache in single precision; lossless",
        precision="fp32",
        stands_in_for=(*_HALF, "decomposed-fp16"),
    ),
    DECOMPOSED.but(
        name="decomposed-fp32",
        summary="Standard operators over a static cache in single precision; lossless",
        precision="fp32",
        stands_in_for=(*_HALF, "decomposed-fp16", "mha-fp32"),
    ),
)
