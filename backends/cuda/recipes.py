"""The ladder of CUDA: GroupQueryAttention exists there in half precision only."""

from whisperopt.backend import Recipe

RECIPES = (
    Recipe(
        name="gqa-fp16",
        summary="GroupQueryAttention in one shared buffer; 4-D MultiHeadAttention over the audio",
        self_attention="gqa",
        cross_attention="mha",
        encoder_attention="mha",
        cache="shared",
        encoder_precision="fp16",
        decoder_precision="fp16",
    ),
    Recipe(
        name="decomposed-fp16",
        summary="Standard operators over a static cache: what every CUDA kernel set has",
        self_attention="decomposed",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="static",
        encoder_precision="fp16",
        decoder_precision="fp16",
    ),
)
