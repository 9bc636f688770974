"""What is made of the calls that a runtime made on a software device: hand-made answers."""

from pathlib import Path

import msgspec
import pytest

from whisperopt.artifact import Artifact
from whisperopt.process import Failure
from whisperopt.reasons import because
from whisperopt.rehearsal import Judgement, NotTried
from whisperopt.static_checks import io_trace
from whisperopt.static_checks.io_trace import Array, Difference, Run
from whisperopt.static_checks.replay import (
    Call,
    Limits,
    Nodes,
    Replayed,
    affordable,
    differences,
    judge,
    recorded,
)

GPU, CPU = "WebGpuExecutionProvider", "CPUExecutionProvider"
LABELS = ("prefill, batch 1", "step 1, batch 1")
LOGITS = Array(name="logits", file="logits.bin", dtype="float16", shape=(1, 1, 8))
TRACE = tuple(
    Run(graph="decoder.onnx", label=label, feeds=(), outputs=(LOGITS,), valid=1)
    for label in LABELS
)
CALLS = (Call("opening of decoder.onnx", 1.0), Call(LABELS[0], 0.25), Call(LABELS[1], 0.1))
NODES = (Nodes("decoder.onnx", "MatMul", GPU, 40), Nodes("decoder.onnx", "Gather", CPU, 2))
LIMITS = Limits(runtime="WebGPU", error=0.02)


def off(error: float, label: str = LABELS[1]) -> Difference:
    odd = because("io_trace.missing", f"logits ({label})") if error == float("inf") else None
    return Difference(label=label, output="logits", relative_l2=error, odd=odd)


CLOSE = (off(1e-3, LABELS[0]), off(2e-3))


def judged(
    *calls: Call,
    found: tuple[Difference, ...] = CLOSE,
    limits: Limits = LIMITS,
    nodes: tuple[Nodes, ...] = NODES,
    **more: object,
) -> Judgement:
    return judge(TRACE, Replayed(calls=calls, nodes=nodes, **more), found, limits)


def test_agreement_passes_and_says_how_close() -> None:
    found = judged(*CALLS, versions={"onnxruntime": "1.27.0"})
    assert found.passed
    assert found.reason == "WebGPU's numbers are within 0.002 of the CPU's in 2 calls"
    assert found.facts == {
        "onnxruntime": "1.27.0",
        "opening of decoder.onnx": "1.00 s",
        LABELS[0]: "0.25 s (logits off by 0.001)",
        LABELS[1]: "0.10 s (logits off by 0.002)",
        "decoder.onnx": "nodes: 40 on WebGpu, 2 on CPU",
    }


def test_a_runtime_that_crashes_after_its_last_answer_has_answered() -> None:
    assert judged(*CALLS, ended=Failure(because("process.exited", status="5", last=""))).passed


@pytest.mark.parametrize("error", [0.021, 0.2, float("inf")])
def test_wrong_numbers_fail_by_name(error: float) -> None:
    found = judged(*CALLS, found=(CLOSE[0], off(error)))
    assert found.passed is False
    assert found.reason.startswith("logits (step 1, batch 1) ")


def test_nothing_to_compare_is_no_pass() -> None:
    assert judged(*CALLS, found=()).passed is False
    assert judge((), Replayed(), (), LIMITS).passed is False


def test_a_device_that_does_not_work_proves_nothing() -> None:
    found = judged(found=(), device="Failed to create DXGI factory")
    assert found.passed is None
    assert found.reason.endswith(
        "the software device does not work: Failed to create DXGI factory"
    )


def test_a_graph_that_does_not_open_fails_with_the_runtimes_reason() -> None:
    refused = Call("opening of decoder.onnx", 0.1, "Unrecognized attribute: causal")
    ignored = [Call(label, 0.0, "there is no graph to run") for label in LABELS]
    for calls in ([refused], [refused, *ignored]):
        found = judged(*calls, found=(), nodes=())
        assert found.passed is False
        assert found.reason == (
            "WebGPU fails in the opening of decoder.onnx: Unrecognized attribute: causal"
        )


def test_a_failed_call_is_not_told_twice() -> None:
    found = judged(*CALLS[:2], Call(LABELS[1], 0.1, "buffer too large"), found=CLOSE[:1])
    assert found.passed is False
    assert found.reason == "WebGPU fails in the step 1, batch 1: buffer too large"


def test_work_that_falls_to_the_cpu_fails() -> None:
    found = judged(*CALLS, nodes=(*NODES, Nodes("decoder.onnx", "Attention", CPU, 4)))
    assert found.passed is False
    assert found.reason == "of decoder.onnx, 4 Attention would silently run on the CPU"


def test_more_nodes_on_the_cpu_than_lengths_need_fail_where_that_is_asked() -> None:
    strict = msgspec.structs.replace(LIMITS, elsewhere=16)
    many = (*NODES, Nodes("decoder.onnx", "Transpose", CPU, 15))
    assert judged(*CALLS, limits=strict).passed
    assert judged(*CALLS, nodes=many).passed
    found = judged(*CALLS, nodes=many, limits=strict)
    assert found.passed is False
    assert found.reason == "17 nodes of decoder.onnx are not on WebGPU"


def test_too_little_time_proves_nothing() -> None:
    late = Failure(because("process.too-long", seconds=900))
    found = judged(*CALLS[:2], found=CLOSE[:1], ended=late)
    assert found.passed is None
    assert found.reason == "not tried to the end: it took over 900 s, 1 of 2 calls are left"


def test_wrong_numbers_count_even_if_time_runs_out() -> None:
    late = Failure(because("process.too-long", seconds=900))
    assert judged(*CALLS[:2], found=(off(0.5, LABELS[0]),), ended=late).passed is False


@pytest.mark.parametrize("calls", [0, 2])
def test_a_runtime_that_breaks_off_fails(calls: int) -> None:
    ended = Failure(because("process.crashed", signal="SIGSEGV", last=""))
    found = judged(*CALLS[:calls], found=CLOSE[: max(0, calls - 1)], ended=ended)
    assert found.passed is False
    left = 2 if calls == 0 else 1
    assert found.reason == f"WebGPU broke off before {left} of 2 calls: {ended.reason}"


def test_the_decoder_goes_first_and_the_encoder_hears_one_recording(
    small_artifact: Artifact, tmp_path: Path
) -> None:
    labels = [run.label for run in affordable(io_trace.record(small_artifact, tmp_path))]
    assert labels[0] == "prefill, batch 1"
    assert labels[-1] == "encoder, batch 1"
    assert sum(label.startswith("encoder") for label in labels) == 1
    assert sum(label.endswith("batch 2") for label in labels) == 3


def test_outputs_that_nobody_wrote_are_infinitely_off(
    small_artifact: Artifact, tmp_path: Path
) -> None:
    trace = recorded(small_artifact, tmp_path)
    replayed = Replayed(calls=(Call("encoder, batch 1", 1.0),))
    hidden = differences(trace, replayed, tmp_path)[0]
    assert hidden.odd == because("io_trace.missing", "hidden_states (encoder, batch 1)")
    assert judge(trace, replayed, (hidden,), LIMITS).passed is False


def test_what_the_cpu_cannot_record_is_not_tried(small_artifact: Artifact, tmp_path: Path) -> None:
    broken = Artifact(tmp_path / "nowhere", small_artifact.manifest)
    with pytest.raises(NotTried, match="the CPU cannot open"):
        recorded(broken, tmp_path)
