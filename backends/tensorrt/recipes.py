"""The ladder of TensorRT: what its parser takes whole, so that one engine holds the whole graph."""

from whisperopt.backend import Tier
from whisperopt.ort_backend import GQA_FP16

DEVICE = "device"
RTX = "tensorrt-rtx"
"""The value of the option `device` of what only TensorRT for RTX takes."""

_HALF = ("decomposed-fp16", "attention-fp16", "decomposed-bf16", "gqa-fp16")
DECOMPOSED = GQA_FP16.but(
    name="decomposed-fp16",
    summary="Standard operators, static cache with an explicit mask",
    self_attention="decomposed",
    cache="static",
)

RECIPES = (
    DECOMPOSED,
    GQA_FP16.but(
        summary="GroupQueryAttention in one shared buffer, a plug-in of TensorRT for RTX",
        options={DEVICE: RTX},
        selectable_from=Tier.MEASURED,
        caution="only TensorRT for RTX has it, and only the GPU shows what its plug-in computes",
    ),
    DECOMPOSED.but(
        name="attention-fp16",
        summary="ai.onnx Attention-23 with one output, static cache with an explicit mask",
        self_attention="attention",
        cross_attention="attention",
        encoder_attention="attention",
        stands_in_for=_HALF[:1],
    ),
    DECOMPOSED.but(
        name="decomposed-bf16",
        summary="Standard operators in bfloat16, which cannot overflow; compute capability 8.0",
        precision="bf16",
        stands_in_for=_HALF[:2],
        selectable_from=Tier.MEASURED,
        caution="nothing on a CPU can emulate bfloat16",
    ),
    DECOMPOSED.but(
        name="decomposed-fp32",
        summary="Standard operators in single precision, static cache with an explicit mask",
        precision="fp32",
        stands_in_for=_HALF,
    ),
)
