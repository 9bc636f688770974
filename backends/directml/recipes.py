"""The ladder of DirectML, which stays at opset 20 and computes in half precision."""

from whisperopt.ort_backend import GQA_FP16

# its kernel is of com.microsoft's Gelu; that of ai.onnx is spelled out, over thrice as far off
GQA = GQA_FP16.but(traits=("contributed-gelu",))
DECOMPOSED = GQA.but(
    name="decomposed-fp16",
    summary="Standard operators over a static cache: right on every adapter",
    self_attention="decomposed",
    cache="static",
)

RECIPES = (
    GQA,
    GQA.but(
        name="mha-fp16",
        summary="MultiHeadAttention with a full bias and a growing cache; cross-attention decomposed",
        self_attention="mha",
        cache="concat",
        traits=("explicit-mask", "contributed-gelu"),
        stands_in_for=("gqa-fp16",),
    ),
    DECOMPOSED,
    DECOMPOSED.but(
        name="decomposed-fp32",
        summary="Standard operators over a static cache in single precision; lossless",
        precision="fp32",
        stands_in_for=("gqa-fp16", "mha-fp16", "decomposed-fp16"),
    ),
)
