"""What DirectML is asked to compute, and how its answers are read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisperopt.backends.directml import job
from whisperopt.backends.directml.job import Answer, Answers, Call, Places

from whisperopt.static_checks.io_trace import Array, Run, Trace

PLACES = Places(graphs=Path("/model"), tape=Path("/tape"), outputs=Path("/out"))


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
    asked = job.calls(Trace(runs=runs), PLACES, shared=shared)
    return [line for call in asked for line in call.lines]


def test_the_decoder_goes_first_and_the_encoder_hears_one_recording() -> None:
    runs = (encoder(1), decoder("prefill"), encoder(2), decoder("step"))
    kept = job.affordable(Trace(runs=runs)).runs
    assert [run.label for run in kept] == ["prefill", "step", "encoder, batch 1"]


def test_a_graph_is_opened_once_for_all_its_runs() -> None:
    asked = job.calls(
        Trace(runs=(decoder("prefill"), decoder("step"), encoder(1))), PLACES, shared=False
    )
    labels = [call.label for call in asked]
    assert labels == ["device", "decoder", "prefill", "step", "encoder", "encoder, batch 1"]


def test_inputs_and_outputs_are_named_with_type_shape_and_file() -> None:
    assert lines(decoder("step")) == [
        "device",
        "graph\tZ:\\model\\decoder.onnx",
        "feed\tinput_ids\tint32\t1,2\tZ:\\tape\\input_ids.bin",
        "feed\tpast_key_self_0\tfloat16\t1,4,32,16\tZ:\\tape\\past_key_self_0.bin",
        "feed\tpast_key_cross_0\tfloat16\t1,4,20,16\tZ:\\tape\\past_key_cross_0.bin",
        "fetch\tlogits\tZ:\\out\\logits.bin",
        "fetch\tpresent_key_self_0\tZ:\\out\\present_key_self_0.bin",
        "run",
    ]


def test_shared_caches_are_one_buffer_and_no_output_of_their_own() -> None:
    asked = lines(decoder("step"), shared=True)
    assert (
        "share\tpast_key_self_0\tpresent_key_self_0\tfloat16\t1,4,32,16"
        "\tZ:\\tape\\past_key_self_0.bin\tZ:\\out\\present_key_self_0.bin"
    ) in asked
    assert [line.split("\t")[1] for line in asked if line.startswith("fetch")] == ["logits"]
    assert not any(line.startswith("feed\tpast_key_self") for line in asked)


ASKED = [Call(label=label, lines=()) for label in ("device", "decoder", "step")]


def test_answers_belong_to_the_calls_in_their_order() -> None:
    text = (
        "runtime\t1.24.4\ndirectml\t1.15.4\nseconds\t0.5\n"
        "placed\tDmlExecutionProvider\t9\nplaced\tCPUExecutionProvider\t1\n"
        "elsewhere\tCPUExecutionProvider\tCast\tcache/Cast_1\nseconds\t2.0\n"
        "error\t80070057 Invalid parameter.\n"
    )
    assert job.read(text, ASKED) == Answers(
        runtime="1.24.4",
        directml="1.15.4",
        calls=(
            Answer(label="device", seconds=0.5),
            Answer(
                label="decoder",
                seconds=2.0,
                placed={"DmlExecutionProvider": 9, "CPUExecutionProvider": 1},
                elsewhere=(("Cast", "CPUExecutionProvider"),),
            ),
            Answer(label="step", error="80070057 Invalid parameter."),
        ),
    )


@pytest.mark.parametrize("broken", ["seconds\t2.", "seconds", "error\t8007", "placed\tDml"])
def test_a_line_that_was_broken_off_is_no_answer(broken: str) -> None:
    found = job.read("seconds\t0.5\n" + broken, ASKED)
    assert [answer.label for answer in found.calls] == ["device"]


WORDS = st.sampled_from(
    ["runtime", "directml", "placed", "elsewhere", "seconds", "error", "1.5", "-", "nan", ""]
)


@given(st.lists(st.lists(WORDS, max_size=5).map("\t".join)).map("\n".join) | st.text())
def test_whatever_is_answered_is_read(text: str) -> None:
    found = job.read(text, ASKED)
    assert len(found.calls) <= len(ASKED)
    assert all((answer.seconds is None) == bool(answer.error) for answer in found.calls)
