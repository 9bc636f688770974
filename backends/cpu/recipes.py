"""The ladder of ONNX Runtime on the CPU: no half precision, which it would only cast away."""

from whisperopt.backend import Recipe

_BUFFER = "GroupQueryAttention in one shared buffer"
_SPANS = "silence behind a clip in few positions"
_INT8 = ("gqa-int8", "gqa-int8-spans", "gqa-dynamic-spans", "gqa-mixed")
LOSSLESS = Recipe(
    name="gqa-fp32",
    summary=f"{_BUFFER}; cross-attention decomposed; lossless",
    self_attention="gqa",
    cross_attention="decomposed",
    encoder_attention="mha",
    cache="shared",
    encoder_precision="fp32",
    decoder_precision="fp32",
    traits=("last-logits",),
)
INT8 = LOSSLESS.but(
    name="gqa-int8",
    summary=f"{_BUFFER}; 8-bit weights and encoder activations",
    precision="int8",
    int8="dynamic",
)
SPANS = INT8.but(
    name="gqa-int8-spans",
    summary=f"{INT8.summary}; {_SPANS}",
    audio_tail=1.0,
    traits=("last-logits", "optional-spans"),
)

RECIPES = (
    LOSSLESS,
    INT8,
    SPANS,
    SPANS.but(
        name="gqa-dynamic-spans",
        summary=f"{_BUFFER}; 8-bit weights and activations; {_SPANS}",
        traits=(*SPANS.traits, "dynamic-decoder"),
    ),
    INT8.but(
        name="gqa-mixed",
        summary=f"{_BUFFER}; fp32 encoder, 8-bit decoder weights",
        encoder_precision="fp32",
        int8="block",
        stands_in_for=_INT8[:3],
    ),
    LOSSLESS.but(
        name="mha-fp32",
        summary="MultiHeadAttention with a growing cache; cross-attention decomposed; lossless",
        self_attention="mha",
        cache="concat",
        stands_in_for=("gqa-fp32",),
    ),
    INT8.but(
        name="mha-int8",
        summary="MultiHeadAttention with a growing cache; 8-bit weights and encoder activations",
        self_attention="mha",
        cache="concat",
        stands_in_for=_INT8,
    ),
    LOSSLESS.but(
        name="attention-fp32",
        summary="ai.onnx Attention-23 with a growing cache; cross-attention decomposed; lossless",
        self_attention="attention",
        encoder_attention="attention",
        cache="concat",
        traits=(),
        stands_in_for=("gqa-fp32", "mha-fp32"),
    ),
    LOSSLESS.but(
        name="decomposed-fp32",
        summary="Standard operators of opset 20 over a growing cache; lossless",
        self_attention="decomposed",
        encoder_attention="decomposed",
        cache="concat",
        traits=(),
        stands_in_for=("gqa-fp32", "mha-fp32", "attention-fp32"),
    ),
)
