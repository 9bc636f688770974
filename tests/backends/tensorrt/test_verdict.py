"""Answers of parser and builder become one sentence that points at what is wrong."""

import msgspec
import pytest
from whisperopt.backends.tensorrt.verdict import (
    Compiled,
    Engine,
    Refused,
    Tried,
    judge,
    praise,
)

from whisperopt.process import Failure
from whisperopt.reasons import because

TURING = (
    "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([pass.cpp:337: check_turing] Cannot"
    " compile operation 'fc1/MatMul' for Turing (SM75): FP32 GEMM is not supported. In compileGraph"
    " at /_src/optimizer/myelin/codeGenerator.cpp:2012)"
)
KERNEL = (
    "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([myelin_graph.h:1295: attach] CHECK("
    "composite_op->is_decomposable()) failed. Attention operation was not supported by a dedicated"
    " kernel. In compileGraph at /_src/optimizer/myelin/codeGenerator.cpp:2012)"
)
TACTIC = (
    "[myelinPluginV3Layer.cpp::addPluginV3::453] Error Code 2: Internal Error (Assertion"
    " !formatTacticCombinations.empty() failed. Failed to find any supported plugin/custom tactic"
    " format In addPluginV3 at /_src/optimizer/myelin/myelinPluginV3Layer.cpp:453)"
)


def engine(capability: str, *errors: str) -> Engine:
    """Return an engine that was built, or was not because of `errors`."""
    return Engine(capability, not errors, 0.9, 0 if errors else 60_000_000, errors)


def built(*engines: Engine) -> Compiled:
    """Return a graph that was parsed."""
    return Compiled(True, (), engines or (engine("8.6"),), 487)


def refused(operator: str, text: str, node: str = "decoder.layers.0/attention") -> Compiled:
    """Return a graph that was not parsed because of one node."""
    return Compiled(False, (Refused(operator, node, text),))


def said(answer: Compiled | Failure, *, plug_ins: bool = False, **operators: int) -> str:
    """Return what is said against a decoder."""
    counts = {name.replace("__", "."): count for name, count in operators.items()}
    return "; ".join(judge([Tried("decoder", answer, counts)], plug_ins=plug_ins))


def test_two_graphs_that_are_built_everywhere_pass() -> None:
    tried = [Tried(part, built(engine("7.5"), engine("12.0"))) for part in ("encoder", "decoder")]
    assert judge(tried, plug_ins=False) == ()
    assert praise(tried, plug_ins=False) == (
        "TensorRT for RTX without plug-ins, standing in for TensorRT, parsed both graphs and built"
        " them for sm75, sm120"
    )
    assert "with its plug-ins parsed" in praise(tried, plug_ins=True)


@pytest.mark.parametrize(
    ("operator", "text", "expected"),
    [
        (
            "Attention",
            "Assertion failed: node.output().size() == 1: TensorRT only supports one output.",
            (
                "TensorRT parses no Attention with a past: TensorRT only supports one output"
                " (at decoder.layers.0/attention, one of 4)"
            ),
        ),
        (
            "GroupQueryAttention",
            "Assertion failed: version(creator) == CreatorVersion::kV3ONE: failed to load plugin.",
            (
                "TensorRT has no GroupQueryAttention, it is a plug-in of TensorRT for RTX: "
                "failed to load plugin (at decoder.layers.0/attention)"
            ),
        ),
        (
            "GroupQueryAttention",
            "Assertion failed: scale != 0: scale is invalid.",
            "GroupQueryAttention needs an explicit scale: scale is invalid",
        ),
        (
            "GroupQueryAttention",
            "Assertion failed: total.nbDims == 0: totalSeqLen is a scalar",
            "GroupQueryAttention takes total_sequence_length of rank 0: totalSeqLen is a scalar",
        ),
        (
            "MatMulNBits",
            "Assertion failed: a->getType() == nvinfer1::DataType::kHALF: input A must be FP16.",
            "TensorRT has no MatMulNBits: input A must be FP16",
        ),
        (
            "MultiHeadAttention",
            "Assertion failed: nbDims == 3: it only supports 3D explicit key and value tensors.",
            "TensorRT has no MultiHeadAttention over a stored cache: ",
        ),
        (
            "MultiHeadAttention",
            "Assertion failed: n == 1: it only supports a single context output.",
            "TensorRT has no MultiHeadAttention with a past: ",
        ),
        (
            "SkipLayerNormalization",
            'creator && "Plugin not found, are the plugin name, version, and namespace correct?"',
            "TensorRT has no importer for SkipLayerNormalization: Plugin not found, are the plugin",
        ),
        ("Loop", "something new", "TensorRT does not parse Loop: something new"),
    ],
)
def test_a_refused_node_is_named_with_the_parsers_words(
    operator: str, text: str, expected: str
) -> None:
    assert said(refused(operator, text), Attention=4).startswith(f"decoder: {expected}")


def test_operators_that_only_tensorrt_for_rtx_imports_do_not_pass_for_tensorrt() -> None:
    operators = {"com.microsoft.MultiHeadAttention": 4, "MatMul": 9}
    tried = [Tried("encoder", built(), operators)]
    (reason,) = judge(tried, plug_ins=False)
    assert reason.startswith("encoder: only TensorRT for RTX imports 4 MultiHeadAttention, ")
    assert judge(tried, plug_ins=True) == ()


def test_an_attention_without_a_kernel_is_told_in_plain_words() -> None:
    answer = built(engine("8.0", KERNEL), engine("8.6", KERNEL), engine("12.0"))
    assert said(answer) == (
        "decoder: no engine can be built for sm80, sm86: no fused kernel fits an Attention, and it"
        " must not be taken apart"
    )


def test_a_plug_in_that_does_not_take_the_types_is_told_in_plain_words() -> None:
    assert "GroupQueryAttention takes half precision" in said(built(engine("8.6", TACTIC)))


def test_a_gpu_that_is_too_old_for_the_types_is_left_out_and_told() -> None:
    tried = [Tried("decoder", built(engine("7.5", TURING), engine("8.6")))]
    assert judge(tried, plug_ins=False) == ()
    assert praise(tried, plug_ins=False).endswith(
        "for sm86; sm75 is too old: Cannot compile operation 'fc1/MatMul' for Turing (SM75): FP32"
        " GEMM is not supported"
    )


def test_no_engine_at_all_does_not_pass() -> None:
    assert "sm75: Cannot compile operation" in said(built(engine("7.5", TURING)))
    assert "sm86: TensorRT does not say why" in said(built(Engine("8.6", False, 0.1, 0)))
    nothing = msgspec.structs.replace(built(), engines=())
    assert said(nothing) == "decoder: no engine was asked for"


def test_a_silent_refusal_does_not_pass() -> None:
    assert "does not say why" in said(Compiled(False))


def test_a_crash_is_a_reason() -> None:
    assert said(Failure(because("process.crashed", signal="SIGSEGV", last=""))) == (
        "decoder: TensorRT for RTX failed, the runtime aborted the process (SIGSEGV)"
    )


def test_summary_tells_seconds_and_size_of_what_was_built() -> None:
    answer = built(engine("8.6"), engine("7.5", TURING))
    assert answer.summary() == "487 layers, sm86 0.9 s 60.0 MB"
