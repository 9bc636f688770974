"""The ladder of ONNX Runtime on the CPU: no half precision, which it would only cast away."""

from whisperopt.backend import Recipe

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
    ),
    Recipe(
        name="gqa-mixed",
        summary="GroupQueryAttention in one shared buffer; fp32 encoder, 8-bit decoder weights",
        self_attention="gqa",
        cross_attention="decomposed",
        encoder_attention="mha",
        cache="shared",
        encoder_precision="fp32",
        decoder_precision="int8",
    ),
    Recipe(
        name="gqa-int8",
        summary="GroupQueryAttention in one shared buffer; 8-bit weights and encoder activations",
        self_attention="gqa",
        cross_attention="decomposed",
        encoder_attention="mha",
        cache="shared",
        encoder_precision="int8",
        decoder_precision="int8",
        int8="dynamic",
    ),
)
