"""One hand-made graph for each thing that WebGPU is known to do wrong, or not at all."""

import pytest

from tests.static_checks.graphs import gqa, graph, held

CROSS = "(float16[B,1,16] q, float16[B,2,9,8] k, float16[B,2,9,8] v) => (float16[B,1,16] y)"
ATTEND = "y = com.microsoft.MultiHeadAttention<num_heads=2>(q, k, v)"


@pytest.mark.parametrize("t", ["float", "float16"])
def test_group_query_attention_is_accepted_for_single_tokens(t: str) -> None:
    report, reasons, conditions = held(gqa(t=t), "webgpu")
    assert report.accepted, reasons
    assert "one token at a time" in conditions


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (gqa("scale=0.35, causal=0"), "'causal' must not be written"),
        (gqa(presents=""), "output 'present_key' is left out"),
        (gqa(t="bfloat16"), "bfloat16 is not executed"),
        (gqa(total="[1]"), "rank 1, it must be 0"),
    ],
    ids=["causal", "no-presents", "bfloat16", "rank-of-total"],
)
def test_group_query_attention_is_refused_beyond_that(model, reason: str) -> None:
    assert reason in held(model, "webgpu")[1]


def test_fused_attention_is_refused_in_the_encoder() -> None:
    model = graph(CROSS, ATTEND)
    assert held(model, "webgpu", part="decoder")[0].accepted
    _, reasons, _ = held(model, "webgpu", part="encoder")
    assert "wrong for several tokens at once" in reasons


@pytest.mark.parametrize(
    ("signature", "body", "opset"),
    [
        ("(float[B,H,S,8] q) => (float[B,H,S,8] y)", "y = Attention(q, q, q)", 23),
        ("(float[4,4] x) => (float[4,4] y)", "y = com.microsoft.FusedMatMul(x, x)", 20),
        ("(float[4] x, float[4] z) => (float[4] y)", "y = Max(x, z)", 20),
        ("(bool[4] x, bool[4] z) => (bool[4] y)", "y = Or(x, z)", 20),
        ("(int64[4,4] x) => (int64[4,4] y)", "y = Transpose(x)", 20),
        ("(float[4] x) => (float[4] y)", "y = Erf(x)", 20),
    ],
)
def test_what_would_land_on_the_cpu_is_refused(signature: str, body: str, opset: int) -> None:
    _, reasons, _ = held(graph(signature, body, opset=opset), "webgpu")
    assert "lands on the CPU" in reasons


def test_lengths_may_be_computed_on_the_cpu() -> None:
    body = "a = Max(x, z) b = Cast<to=7>(a) y = Slice(b, s, e)"
    model = graph("(int32[1] x, int32[1] z, int64[1] s, int64[1] e) => (int64[1] y)", body)
    report, reasons, _ = held(model, "webgpu")
    assert report.accepted, reasons
