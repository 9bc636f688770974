"""The ladder of OpenVINO on the CPU: stateful caches, cross-attention decomposed."""

from whisperopt.backend import Recipe

PRECISION = "INFERENCE_PRECISION_HINT"
_IN_BF16 = "computed in bfloat16 where the CPU can"
_SPANS = "silence behind a clip in few positions"
LOSSLESS = Recipe(
    name="mha-fp32",
    summary="MultiHeadAttention with a stateful cache; lossless",
    self_attention="mha",
    cross_attention="decomposed",
    encoder_attention="decomposed",
    cache="concat",
    encoder_precision="fp32",
    decoder_precision="fp32",
    options={PRECISION: "f32"},
)
INT8 = LOSSLESS.but(
    name="mha-int8",
    summary="MultiHeadAttention with a stateful cache; 8-bit weights everywhere",
    precision="int8",
    int8="group",
)

RECIPES = (
    LOSSLESS,
    INT8.but(name="mha-int8-spans", summary=f"{INT8.summary}; {_SPANS}", audio_tail=1.0),
    INT8.but(
        name="mha-int8-bf16-spans",
        summary=f"{INT8.summary}, {_IN_BF16}; {_SPANS}",
        audio_tail=1.0,
        computes="bf16",
        options={PRECISION: "bf16"},
    ),
    LOSSLESS.but(
        name="mha-bf16",
        summary=f"MultiHeadAttention with a stateful cache; {_IN_BF16}",
        computes="bf16",
        options={PRECISION: "bf16"},
    ),
    INT8.but(stands_in_for=("mha-int8-spans", "mha-int8-bf16-spans")),
    LOSSLESS.but(
        name="attention-fp32",
        summary="ai.onnx Attention-23 with a stateful cache; lossless",
        self_attention="attention",
        stands_in_for=("mha-fp32",),
    ),
    LOSSLESS.but(
        name="gqa-fp32",
        summary="GroupQueryAttention with a stateful cache; batches of one only; lossless",
        self_attention="gqa",
        stands_in_for=("mha-fp32", "attention-fp32"),
    ),
    LOSSLESS.but(
        name="decomposed-fp32",
        summary="Standard operators of opset 20 over a stateful cache; lossless",
        self_attention="decomposed",
        stands_in_for=("mha-fp32", "attention-fp32", "gqa-fp32"),
    ),
    INT8.but(
        name="decomposed-int8",
        summary="Standard operators of opset 20 over a stateful cache; 8-bit weights everywhere",
        self_attention="decomposed",
        stands_in_for=("mha-int8-spans", "mha-int8-bf16-spans", "mha-int8"),
    ),
)
