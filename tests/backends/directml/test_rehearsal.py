"""What DirectML's answers are worth."""

from pathlib import Path

import pytest
from whisperopt.backends.directml import rehearsal
from whisperopt.backends.directml.job import Answer, Answers
from whisperopt.backends.directml.rehearsal import DirectmlRehearsal, Played, judge, shortened

from tests.passes import forms
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.process import Failure, how_it_ended
from whisperopt.reasons import because
from whisperopt.static_checks.io_trace import Array, Difference, Run, Tape

CPU = "CPUExecutionProvider"
LOGITS = Array(name="logits", file="logits.bin", dtype="float16", shape=(1, 1, 8))
STEPS = ("prefill, batch 1", "step 1, batch 1")
TAPE = Tape(
    runs=tuple(
        Run(graph="decoder.onnx", label=label, feeds=(), outputs=(LOGITS,), valid=1)
        for label in STEPS
    )
)
DEVICE = Answer(label="device", seconds=0.5)
OPENED = Answer(label="decoder", seconds=1.0, elsewhere=(("Cast", CPU), ("Squeeze", CPU)))
RAN = tuple(Answer(label=label, seconds=0.1) for label in STEPS)


def off(error: float, label: str = STEPS[1]) -> Difference:
    return Difference(label=label, output="logits", relative_l2=error, relative_max=error)


def verdict(
    *answers: Answer,
    differences: tuple[Difference, ...] = (off(0.01),),
    ended: Failure | None = None,
) -> tuple[bool | None, str]:
    return judge(TAPE, Played(Answers(calls=answers), differences, ended))


def test_agreement_passes_and_says_how_close() -> None:
    assert verdict(DEVICE, OPENED, *RAN) == (
        True,
        "DirectML's numbers are within 0.01 of the CPU's in 2 calls",
    )


def test_a_program_that_crashes_after_its_last_answer_has_answered() -> None:
    assert verdict(DEVICE, OPENED, *RAN, ended=how_it_ended(5, ""))[0]


@pytest.mark.parametrize("error", [0.021, 0.2, float("inf")])
def test_wrong_numbers_fail_by_name(error: float) -> None:
    passed, reason = verdict(DEVICE, OPENED, *RAN, differences=(off(0.01, STEPS[0]), off(error)))
    assert passed is False
    assert "logits (step 1, batch 1)" in reason


def test_a_device_that_does_not_work_proves_nothing() -> None:
    broken = Answer(label="device", error="Failed to create DXGI factory")
    passed, reason = verdict(broken, differences=())
    assert passed is None
    assert reason.endswith("the software device does not work: Failed to create DXGI factory")


@pytest.mark.parametrize("ended", [how_it_ended(5, ""), None])
def test_no_answer_at_all_proves_nothing(ended: Failure | None) -> None:
    passed, reason = verdict(differences=(), ended=ended)
    assert passed is None
    assert str(ended or "there was no answer") in reason


def test_a_graph_that_does_not_open_fails_with_the_runtimes_reason() -> None:
    refused = Answer(label="decoder", error="Unrecognized attribute: causal")
    ignored = tuple(Answer(label=label, error="there is no graph to run") for label in STEPS)
    passed, reason = verdict(DEVICE, refused, *ignored, differences=())
    assert passed is False
    assert reason == "DirectML fails in the decoder: Unrecognized attribute: causal"


def test_work_that_falls_to_the_cpu_fails() -> None:
    left = Answer(label="decoder", seconds=1.0, elsewhere=(("Attention", CPU), ("Shape", CPU)))
    passed, reason = verdict(DEVICE, left, *RAN)
    assert passed is False
    assert reason == "of the decoder, 1 Attention would silently run on the CPU"


def test_more_nodes_on_the_cpu_than_lengths_need_fail() -> None:
    left = Answer(label="decoder", seconds=1.0, elsewhere=(("Transpose", CPU),) * 24)
    assert verdict(DEVICE, left, *RAN) == (False, "24 nodes of the decoder are not on DirectML")


def test_too_little_time_proves_nothing() -> None:
    ended = Failure(because("process.too-long", seconds=1))
    passed, reason = verdict(DEVICE, OPENED, RAN[0], ended=ended)
    assert passed is None
    assert "1 of 2 calls are left" in reason


def test_wrong_numbers_count_even_if_time_runs_out() -> None:
    ended = Failure(because("process.too-long", seconds=1))
    assert verdict(DEVICE, OPENED, RAN[0], differences=(off(0.5),), ended=ended)[0] is False


def test_a_program_that_breaks_off_fails() -> None:
    passed, reason = verdict(DEVICE, OPENED, RAN[0], ended=how_it_ended(5, ""))
    assert passed is False
    assert reason == "DirectML broke off before 1 of 2 calls: it ended with exit status 5"


def test_the_runtimes_own_words_are_shortened_to_node_and_reason() -> None:
    error = (
        "Non-zero status code returned while running MultiHeadAttention node. Name:'layer/attention'"
        " Status Message: C:\\a\\dml\\AuthorImpl.cpp(2508)\\onnxruntime.dll!00000001801482A5:"
        " (caller: 00000001801492FC) Exception(3) tid(11c) 80070057 Invalid parameter. "
    )
    assert shortened(error) == "MultiHeadAttention (layer/attention): 80070057 Invalid parameter."
    assert shortened("This is an invalid model.") == "This is an invalid model."


def test_a_pass_is_worth_as_much_as_real_numbers() -> None:
    assert DirectmlRehearsal().tier is Tier.EMULATED


def test_a_missing_home_is_a_reason_with_the_command(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_REHEARSALS", str(tmp_path))
    probe = DirectmlRehearsal().probe()
    assert not probe.ready
    assert "ci/install-rehearsals directml" in probe.remedy
    told = DirectmlRehearsal().run(small_artifact, tmp_path)
    assert told.passed is None
    assert told.reason.startswith("not tried: ")


def test_single_precision_is_not_tried(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert forms.CORE.precisions == {"fp32"}
    monkeypatch.setenv("WHISPEROPT_REHEARSALS", str(tmp_path))
    monkeypatch.setattr(rehearsal.Wine, "problem", lambda _: None)
    (tmp_path / "directml" / "app").mkdir(parents=True)
    (tmp_path / "directml" / "app" / "replay.exe").touch()
    (tmp_path / "directml" / "pins").write_text("onnxruntime-directml==1.24.4\n")
    told = DirectmlRehearsal().run(small_artifact, tmp_path)
    assert (told.passed, told.version) == (None, "1.24.4")
    assert "lacks the shaders of anything but half precision" in told.reason
