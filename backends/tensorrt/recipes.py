"""The ladder of TensorRT: standard operators only, so that one engine holds the whole graph."""

from whisperopt.backend import Recipe

RECIPES = (
    Recipe(
        name="decomposed-fp16",
        summary="Standard operators, static cache with an explicit mask",
        self_attention="decomposed",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="static",
        encoder_precision="fp16",
        decoder_precision="fp16",
    ),
)
