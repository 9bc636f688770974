"""Every rule of the tables on the smallest graph that breaks it, next to one that keeps it."""

import onnx_ir as ir
import pytest

from tests.static_checks.graphs import gqa, graph, held

ORT = ("cpu", "cuda", "directml")
ATTENDING = (*ORT, "openvino")


def mha(
    attributes: str = "", *, t: str = "float", kv: str = "[B,L,16]", more: str = "", out: str = "y"
) -> ir.Model:
    """Return one cross-attention with keys and values of shape `kv`."""
    signature = f"({t}[B,S,16] q, {t}{kv} k, {t}{kv} v, {t}[B,2,S,L] bias, {t}[1,1,S,L] thin)"
    body = f"{out} = com.microsoft.MultiHeadAttention<num_heads=2{attributes}>(q, k, v{more})"
    return graph(f"{signature} => ({t}[B,S,16] y)", body)


def attention(
    attributes: str = "", *, mask: str = "[B,1,S,L]", more: str = ", m", presents: bool = False
) -> ir.Model:
    """Return one Attention of ai.onnx 23 over keys of length L."""
    kv = "float16[B,2,L,8] k, float16[B,2,L,8] v"
    past = "float16[B,2,P,8] pk, float16[B,2,P,8] pv"
    extra = ", float16[B,2,T,8] nk, float16[B,2,T,8] nv" if presents else ""
    emitted = "y, nk, nv" if presents else "y"
    return graph(
        f"(float16[B,2,S,8] q, {kv}, float16{mask} m, {past}) => (float16[B,2,S,8] y{extra})",
        f"{emitted} = Attention{attributes}(q, k, v{more})",
        opset=23,
    )


@pytest.mark.parametrize("backend", ATTENDING)
def test_the_canonical_gqa_is_accepted(backend: str) -> None:
    """In float16, with batch 1, it runs on all but TensorRT."""
    report, reasons, _ = held(gqa(t="float16", b="1"), backend)
    assert report.accepted, reasons


@pytest.mark.parametrize("backend", ATTENDING)
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"attributes": ""}, "explicit, nonzero attribute 'scale'"),
        ({"attributes": "scale=0.0"}, "explicit, nonzero attribute 'scale'"),
        ({"presents": ""}, "output 'present_key' is left out"),
        ({"m": "int64"}, "seqlens_k: int64 is not executed, only int32"),
        ({"total": "[1]"}, "'total_sequence_length' has rank 1, it must be 0"),
        ({"heads": 4}, "the head size 4 is not a multiple of 8"),
        ({"attributes": "scale=0.35, causal=1"}, "attribute 'causal' must not be written"),
        ({"attributes": "scale=0.35, kv_cache_bit_width=8"}, "'kv_cache_bit_width' must not be"),
        ({"attributes": "scale=0.35, sliding_window_cache=0"}, "'sliding_window_cache' must not"),
        ({"inputs": "q, , , pk, pv, lens, total"}, "input 'key' is missing"),
    ],
)
def test_a_gqa_that_one_runtime_refuses_is_rejected_by_all(
    backend: str, broken: dict[str, str], reason: str
) -> None:
    """One decoder graph serves every runtime, so they share the strictest contract."""
    model = gqa(**{"t": "float16", "b": "1", **broken})  # type: ignore[arg-type]  # heads is an int
    assert reason in held(model, backend)[1]


def test_gqa_never_stands_in_the_encoder() -> None:
    """It is causal."""
    assert "must not stand in the encoder" in held(gqa(), "cpu", part="encoder")[1]


def test_unused_presents_are_as_wrong_as_missing_ones() -> None:
    """A cache that nobody binds is lost."""
    model = gqa()
    del model.graph.outputs[1:]
    assert "output 'present_key' is used by nobody" in held(model, "cpu")[1]


def test_float32_gqa_lands_on_the_cpu_of_a_cuda_machine() -> None:
    """There are kernels for float16 and bfloat16 only."""
    assert "float32 lands on the CPU" in held(gqa(), "cuda")[1]
    assert held(gqa(), "cpu")[0].accepted


def test_bfloat16_gqa_is_for_cuda_alone() -> None:
    """Neither the CPU provider nor DirectML computes in bfloat16."""
    assert held(gqa(t="bfloat16"), "cuda")[0].accepted
    assert not held(gqa(t="bfloat16"), "cpu")[0].accepted
    assert not held(gqa(t="bfloat16"), "directml")[0].accepted


def test_directml_gqa_comes_with_its_conditions() -> None:
    """The kernel reads the cache from present: a note for whoever binds buffers."""
    report, _, conditions = held(gqa(t="float16"), "directml")
    assert report.accepted
    assert "past and present must be bound to one buffer" in conditions
    assert "never prefill in chunks" in conditions


def test_directml_gqa_does_not_rotate() -> None:
    """The kernel ignores what it does not implement."""
    rotating = gqa("scale=0.35, do_rotary=1")
    assert "attribute 'do_rotary' is 1, only 0" in held(rotating, "directml")[1]
    assert held(rotating, "cpu")[0].accepted


def test_openvino_gqa_is_for_batch_one() -> None:
    """Static batches are decided here, dynamic ones by whoever runs the graph."""
    assert "the batch is 2, only 1 is executed" in held(gqa(b="2"), "openvino")[1]
    report, _, conditions = held(gqa(), "openvino")
    assert report.accepted
    assert "the batch must be 1: OpenVINO returns empty tensors" in conditions
    assert "batch must be 1" not in held(gqa(b="1"), "openvino")[2]


def test_mha_runs_everywhere_but_on_tensorrt() -> None:
    """On the CPU float16 goes through casts."""
    for backend in ATTENDING:
        report, reasons, _ = held(mha(t="float16"), backend)
        assert report.accepted, reasons
    assert "float16 is computed in float32" in held(mha(t="float16"), "cpu")[2]
    assert held(mha(), "cpu")[0].conditions == ()
    expected = "TensorRT has no importer for com.microsoft.MultiHeadAttention"
    assert held(mha(), "tensorrt")[1] == expected


def test_directml_mha_is_refused_where_it_goes_wrong() -> None:
    """An ignored attribute, cached keys in four dimensions, a mask that is broadcast."""
    causal = mha(", unidirectional=1")
    assert "attribute 'unidirectional' is 1, only 0 is executed" in held(causal, "directml")[1]
    assert held(mha(", unidirectional=0"), "directml")[0].accepted
    cached = mha(kv="[B,2,L,8]")
    assert "'key' has rank 4, it must be 3" in held(cached, "directml")[1]
    thin = held(mha(more=", , , thin"), "directml")[1]
    assert "'attention_bias' is broadcast along batch" in thin
    assert "'attention_bias' is broadcast along heads" in thin
    assert held(mha(more=", , , bias"), "directml")[0].accepted
    for model in (causal, cached):
        assert held(model, "cpu")[0].accepted
        assert held(model, "openvino")[0].accepted


def test_an_unknown_rank_is_not_taken_for_the_right_one() -> None:
    """Where a shape decides, it has to be known."""
    model = mha()
    model.graph.inputs[1].shape = None
    assert "the rank of 'key' is unknown, it must be 3" in held(model, "directml")[1]


def test_attention_of_tensorrt_has_one_output_and_an_explicit_mask() -> None:
    """No past, no causal triangle, one output."""
    report, reasons, _ = held(attention(), "tensorrt")
    assert report.accepted, reasons
    past = held(attention(more=", m, pk, pv", presents=True), "tensorrt")[1]
    assert "TensorRT takes Attention with one output only" in past
    assert "input 'past_key' is not executed" in past
    causal = held(attention("<is_causal=1>", more=""), "tensorrt")[1]
    assert "attribute 'is_causal' is 1, only 0 is executed" in causal


def test_attention_does_not_exist_on_directml() -> None:
    """Neither in the opset nor among the kernels."""
    assert "no kernel for it" in held(attention(), "directml")[1]


def test_attention_of_ort_needs_presents_and_a_full_mask() -> None:
    """A mask row for all queries is an error, a past without presents as well."""
    for backend in ("cpu", "cuda"):
        assert held(attention(), backend)[0].accepted
        assert held(attention(more=", m, pk, pv", presents=True), backend)[0].accepted
        thin = held(attention(mask="[B,1,1,L]"), backend)[1]
        assert "'attn_mask' is broadcast along sequence" in thin
        half = held(attention(more=", m, pk, pv"), backend)[1]
        assert "output 'present_key' is left out" in half


def scatter(attributes: str = "", *, static: str = "32", cache: str = "c") -> ir.Model:
    """Return one TensorScatter; `cache` names the value that it updates."""
    body = f"n = TensorScatter{attributes}({cache}, u, i)"
    body = body if cache == "c" else f"{cache} = Identity(c) {body}"
    shape = f"float[1,2,{static},8]"
    return graph(f"({shape} c, float[1,2,S,8] u, int64[1] i) => ({shape} n)", body, opset=24)


def test_tensor_scatter_of_tensorrt_updates_the_network_s_own_cache() -> None:
    """The cache goes in and comes out at one address, in one layout."""
    report, reasons, conditions = held(scatter(), "tensorrt")
    assert report.accepted, reasons
    assert "past_cache and present_cache must be bound to the same device address" in conditions
    assert "must have a static length" in held(scatter(static="C"), "tensorrt")[1]
    assert "must be an input of the whole graph" in held(scatter(cache="d"), "tensorrt")[1]
    assert "attribute 'axis' is 2" in held(scatter("<axis=2>"), "tensorrt")[1]
    circular = scatter('<mode="circular">')
    assert "attribute 'mode' is circular, only linear" in held(circular, "tensorrt")[1]
    assert held(circular, "cpu")[0].accepted


def test_tensor_scatter_is_missing_on_directml_and_openvino() -> None:
    """Both say so with a reason of their own."""
    assert "the session fails" in held(scatter(), "directml")[1]
    assert "ScatterND and ScatterElements have one" in held(scatter(), "openvino")[1]
    assert held(scatter(), "cuda")[0].accepted


def nbits(t: str, *, bits: int = 4, block: int = 32) -> ir.Model:
    """Return one MatMulNBits of 64 columns."""
    blob = f"uint8[3,{64 // block},{block * bits // 8}]"
    return graph(
        f"({t}[B,64] x, {blob} w, {t}[{3 * 64 // block}] s) => ({t}[B,3] y)",
        f"y = com.microsoft.MatMulNBits<K=64, N=3, bits={bits}, block_size={block}>(x, w, s)",
    )


def test_matmul_of_few_bits_is_bounded_per_runtime() -> None:
    """Bits and block sizes are attributes, so they are decided here."""
    for backend in ATTENDING:
        report, reasons, _ = held(nbits("float16"), backend)
        assert report.accepted, reasons
    assert held(nbits("float", bits=2), "cpu")[0].accepted
    assert "attribute 'bits' is 2, only 4 or 8" in held(nbits("float", bits=2), "directml")[1]
    assert "attribute 'block_size' is 8" in held(nbits("float", block=8), "cpu")[1]
    assert "a blocked int4 DequantizeLinear" in held(nbits("float16"), "tensorrt")[1]


def test_dynamic_int8_is_for_cpus_and_directml() -> None:
    """CUDA has no kernel to quantize with, TensorRT no importer."""
    dynamic = graph(
        "(float[B,4] x, int8[4,3] w, float s) => (float[B,3] y)",
        "y = com.microsoft.DynamicQuantizeMatMul(x, w, s)",
    )
    for backend in ("cpu", "directml", "openvino"):
        assert held(dynamic, backend)[0].accepted
    assert "no kernel for it: it lands on the CPU" in held(dynamic, "cuda")[1]
    assert "no importer for com.microsoft.DynamicQuantizeMatMul" in held(dynamic, "tensorrt")[1]


def test_integer_products_follow_the_dynamic_quantizer() -> None:
    """It makes uint8, CUDA's only kernel multiplies int8."""
    pair = graph(
        "(float[B,4] x, int8[4,3] w) => (int32[B,3] y)",
        "a, s, z = DynamicQuantizeLinear(x) y = MatMulInteger(a, w, z)",
    )
    assert held(pair, "cpu")[0].accepted
    assert held(pair, "directml")[0].accepted
    refused = held(pair, "cuda")[1]
    assert "A, a_zero_point: uint8 is not executed, only int8" in refused
    assert "the CUDA provider has no kernel for it" in refused
    assert not held(pair, "tensorrt")[0].accepted


def dequantize(zero: str) -> ir.Model:
    """Return one DequantizeLinear with a constant zero point."""
    return graph(
        "(int8[4,3] w, float s) => (float[4,3] y)",
        f"z = Constant<value = int8 zp {{{zero}}}>() y = DequantizeLinear(w, s, z)",
    )


def test_tensorrt_quantizes_symmetrically() -> None:
    """The zero point is a constant 0 or left out."""
    assert held(dequantize("0"), "tensorrt")[0].accepted
    assert "'x_zero_point' is not 0" in held(dequantize("3"), "tensorrt")[1]
    assert held(dequantize("3"), "cpu")[0].accepted
    dynamic = graph(
        "(int8[4,3] w, float s, int8 z) => (float[4,3] y)", "y = DequantizeLinear(w, s, z)"
    )
    assert "'x_zero_point' is not a constant" in held(dynamic, "tensorrt")[1]


def test_tensorrt_wants_constant_axes() -> None:
    """Starts and ends may be computed, axes may not."""
    signature = "(float[4,3] x, int64[1] a, int64[1] e, int64[1] d) => (float[N,3] y)"
    assert (
        "'axes' must be a constant"
        in held(graph(signature, "y = Slice(x, a, e, d)"), "tensorrt")[1]
    )
    fixed = graph(signature, "k = Constant<value = int64[1] c {0}>() y = Slice(x, a, e, k)")
    assert held(fixed, "tensorrt")[0].accepted


def test_directml_has_no_kernel_for_the_standard_gelu_in_float32() -> None:
    """The contributed one runs in both precisions."""
    standard = "(float[4] x) => (float[4] y)", "y = Gelu(x)"
    assert "com.microsoft.Gelu has a kernel for both" in held(graph(*standard), "directml")[1]
    contributed = graph(standard[0], "y = com.microsoft.Gelu(x)")
    assert held(contributed, "directml")[0].accepted
    half = graph("(float16[4] x) => (float16[4] y)", "y = Gelu(x)")
    assert "expands it" in held(half, "directml")[2]


def test_openvino_gathers_from_constant_blocks_only() -> None:
    """The conversion unpacks them once."""
    body = (
        "(uint8[5,16] w, int64[B] i, float[5,1] s) => (float[B,32] y)",
        "y = com.microsoft.GatherBlockQuantized<bits=4, block_size=32, quantize_axis=1>(w, i, s)",
    )
    assert "'scales' must be a constant" in held(graph(*body), "openvino")[1]
    assert held(graph(*body), "cpu")[0].accepted
