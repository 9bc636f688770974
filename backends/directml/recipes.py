"""The ladder of DirectML, which stays at opset 20 and computes in half precision."""

from whisperopt.backend import Recipe, Trait

# Its kernel is of com.microsoft's Gelu; that of ai.onnx is spelled out, and over thrice as far off.
_GELU: tuple[Trait, ...] = ("contributed-gelu",)

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
        traits=_GELU,
    ),
    Recipe(
        name="mha-fp16",
        summary="MultiHeadAttention with a full bias and a growing cache; cross-attention decomposed",
        self_attention="mha",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="concat",
        encoder_precision="fp16",
        decoder_precision="fp16",
        traits=("explicit-mask", *_GELU),
        stands_in_for=("gqa-fp16",),
    ),
    Recipe(
        name="decomposed-fp16",
        summary="Standard operators over a static cache: right on every adapter",
        self_attention="decomposed",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="static",
        encoder_precision="fp16",
        decoder_precision="fp16",
        traits=_GELU,
    ),
    Recipe(
        name="decomposed-fp32",
        summary="Standard operators over a static cache in single precision; lossless",
        self_attention="decomposed",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="static",
        encoder_precision="fp32",
        decoder_precision="fp32",
        traits=_GELU,
        stands_in_for=("gqa-fp16", "mha-fp16", "decomposed-fp16"),
    ),
)
