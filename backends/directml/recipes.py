"""The ladder of DirectML, which stays at opset 20 and computes in half precision."""

from whisperopt.backend import Recipe, Tier

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
        selectable_from=Tier.MEASURED,
        caution=(
            "DirectML's GroupQueryAttention reads the cache from its output buffer and was wrong "
            "on some drivers: only a self-test on the device can clear it"
        ),
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
    ),
)
