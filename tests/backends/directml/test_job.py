"""What DirectML is asked to compute, and how its answers are read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisperopt.backends.directml import job
from whisperopt.backends.directml.job import Request

from whisperopt.process import Failure
from whisperopt.reasons import because
from whisperopt.static_checks.io_trace import Array, Run, Trace
from whisperopt.static_checks.replay import Call, Nodes, Replayed

PLACES = Path("/model"), Path("/scratch")


def array(name: str, *shape: int, dtype: str = "float16") -> Array:
    return Array(name=name, file=f"{name}.bin", dtype=dtype, shape=shape)


def encoder(batch: int) -> Run:
    return Run(
        graph="encoder.onnx",
        label=f"encoder, batch {batch}",
        feeds=(array("audio_features", batch, 8, 40),),
        outputs=(array("hidden_states", batch, 20, 64),),
        valid=None,
    )


def decoder(label: str, *, past: int = 32) -> Run:
    return Run(
        graph="decoder.onnx",
        label=label,
        feeds=(
            array("input_ids", 1, 2, dtype="int32"),
            array("past_key_self_0", 1, 4, past, 16),
            array("past_key_cross_0", 1, 4, 20, 16),
        ),
        outputs=(array("logits", 1, 2, 320), array("present_key_self_0", 1, 4, 32, 16)),
        valid=2,
    )


def lines(*runs: Run, shared: bool = False) -> list[str]:
    asked = job.requests(Trace(runs=runs), *PLACES, shared=shared)
    return [line for request in asked for line in request.lines]


def test_a_graph_is_opened_once_for_all_its_runs() -> None:
    asked = job.requests(
        Trace(runs=(decoder("prefill"), decoder("step"), encoder(1))), *PLACES, shared=False
    )
    assert [request.label for request in asked] == [
        *("device", "opening of decoder.onnx", "prefill", "step"),
        *("opening of encoder.onnx", "encoder, batch 1"),
    ]


def test_inputs_and_outputs_are_named_with_type_shape_and_file() -> None:
    assert lines(decoder("step")) == [
        "device",
        "graph\tZ:\\model\\decoder.onnx",
        "feed\tinput_ids\tint32\t1,2\tZ:\\scratch\\trace\\input_ids.bin",
        "feed\tpast_key_self_0\tfloat16\t1,4,32,16\tZ:\\scratch\\trace\\past_key_self_0.bin",
        "feed\tpast_key_cross_0\tfloat16\t1,4,20,16\tZ:\\scratch\\trace\\past_key_cross_0.bin",
        "fetch\tlogits\tZ:\\scratch\\outputs\\logits.bin",
        "fetch\tpresent_key_self_0\tZ:\\scratch\\outputs\\present_key_self_0.bin",
        "run",
    ]


def test_shared_caches_are_one_buffer_and_no_output_of_their_own() -> None:
    asked = lines(decoder("step"), shared=True)
    assert (
        "share\tpast_key_self_0\tpresent_key_self_0\tfloat16\t1,4,32,16"
        "\tZ:\\scratch\\trace\\past_key_self_0.bin\tZ:\\scratch\\outputs\\present_key_self_0.bin"
    ) in asked
    assert [line.split("\t")[1] for line in asked if line.startswith("fetch")] == ["logits"]
    assert not any(line.startswith("feed\tpast_key_self") for line in asked)


ASKED = [Request("device", ()), Request("opening", (), "decoder.onnx"), Request("step", ())]


def test_answers_belong_to_the_calls_in_their_order() -> None:
    text = (
        "runtime\t1.24.4\ndirectml\t1.15.4\nseconds\t0.5\n"
        "placed\tDmlExecutionProvider\t9\nplaced\tCPUExecutionProvider\t1\n"
        "elsewhere\tCPUExecutionProvider\tCast\tcache/Cast_1\nseconds\t2.0\n"
        "error\t80070057 Invalid parameter.\n"
    )
    assert job.read(text, ASKED) == Replayed(
        versions={"onnxruntime": "1.24.4", "directml": "1.15.4"},
        calls=(Call("opening", 2.0), Call("step", 0.0, "80070057 Invalid parameter.")),
        nodes=(
            Nodes("decoder.onnx", "", "DmlExecutionProvider", 9),
            Nodes("decoder.onnx", "Cast", "CPUExecutionProvider", 1),
        ),
    )


def test_the_runtimes_own_words_are_shortened_to_node_and_reason() -> None:
    error = (
        "Non-zero status code returned while running MultiHeadAttention node. Name:'layer/attention'"
        " Status Message: C:\\a\\dml\\AuthorImpl.cpp(2508)\\onnxruntime.dll!00000001801482A5:"
        " (caller: 00000001801492FC) Exception(3) tid(11c) 80070057 Invalid parameter. "
    )
    (call,) = job.read(f"seconds\t0.5\nerror\t{error}\n", ASKED).calls
    assert call.error == "MultiHeadAttention (layer/attention): 80070057 Invalid parameter."


@pytest.mark.parametrize(
    ("text", "ended", "reason"),
    [
        ("error\tFailed to create DXGI factory\n", None, "Failed to create DXGI factory"),
        ("", Failure(because("process.no-answer")), "it gave no answer"),
        ("", None, "there was no answer"),
    ],
)
def test_without_a_device_the_reason_is_its_error_or_the_end(
    text: str, ended: Failure | None, reason: str
) -> None:
    assert job.read(text, ASKED, ended) == Replayed(device=reason, ended=ended)


@pytest.mark.parametrize("broken", ["seconds\t2.", "seconds", "error\t8007", "placed\tDml"])
def test_a_line_that_was_broken_off_is_no_answer(broken: str) -> None:
    assert job.read("seconds\t0.5\n" + broken, ASKED) == Replayed()


WORDS = st.sampled_from(
    ["runtime", "directml", "placed", "elsewhere", "seconds", "error", "1.5", "-", "nan", ""]
)


@given(st.lists(st.lists(WORDS, max_size=5).map("\t".join)).map("\n".join) | st.text())
def test_whatever_is_answered_is_read(text: str) -> None:
    found = job.read(text, ASKED)
    assert len(found.calls) < len(ASKED)
    assert all(node.count >= 0 for node in found.nodes)
