"""What is judged, and how the runtime is asked: by hand-made answers, without any runtime."""

import json
from pathlib import Path

import msgspec
import pytest
from whisperopt.backends.webgpu.rehearsal import (
    Call,
    Placed,
    Replayed,
    WebgpuRehearsal,
    affordable,
    judge,
    unfit,
)

from tests.passes import forms
from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.process import Failure, how_it_ended
from whisperopt.reasons import because
from whisperopt.rehearsal import Rehearsed
from whisperopt.static_checks.io_trace import Difference, record

GPU, CPU = "WebGpuExecutionProvider", "CPUExecutionProvider"
CALLS = (Call("encoder, batch 1", 1.5, None), Call("prefill, batch 1", 0.25, None))
NODES = (
    Placed("encoder.onnx", "MatMul", GPU, 40),
    Placed("encoder.onnx", "Gather", CPU, 2),
    Placed("decoder.onnx", "Cast", CPU, 1),
)
RIGHT = Replayed(version="1.27.0", device=None, calls=CALLS, nodes=NODES)
CLOSE = (
    Difference(label="encoder, batch 1", output="hidden_states", relative_l2=1e-6, relative_max=0),
    Difference(label="prefill, batch 1", output="logits", relative_l2=2e-6, relative_max=0),
)


def change(**changes: object) -> Replayed:
    """Return a right answer with some of it changed."""
    return msgspec.structs.replace(RIGHT, **changes)


def far(error: float) -> tuple[Difference, ...]:
    """Return differences of which the last is `error`."""
    return (CLOSE[0], msgspec.structs.replace(CLOSE[1], relative_l2=error, odd="was not computed"))


def test_close_numbers_pass_with_the_largest_error() -> None:
    assert judge(RIGHT, CLOSE, 1e-3) == (
        True,
        "2 calls are at most 2e-06 (relative L2) off the CPU's",
    )


@pytest.mark.parametrize(
    ("replayed", "differences", "reason"),
    [
        (RIGHT, far(0.02), "logits (prefill, batch 1) has a relative error of 0.02"),
        (RIGHT, far(float("inf")), "was not computed"),
        (
            change(nodes=(*NODES, Placed("decoder.onnx", "Attention", CPU, 4))),
            CLOSE,
            "of decoder.onnx, 4 Attention would silently run on the CPU",
        ),
        (
            change(calls=(CALLS[0], Call("prefill, batch 1", 0.1, "buffer too large"))),
            far(float("inf")),
            "WebGPU fails in the prefill, batch 1: buffer too large",
        ),
        (
            change(calls=(Call("opening of encoder.onnx", 0.1, "no such operator"),)),
            far(float("inf")),
            "WebGPU fails in the opening of encoder.onnx: no such operator",
        ),
        (how_it_ended(-11, ""), far(float("inf")), "SIGSEGV"),
    ],
    ids=["far", "missing", "on-the-cpu", "failed-call", "not-opened", "crash"],
)
def test_what_is_wrong_fails_with_its_reason(replayed, differences, reason: str) -> None:
    passed, told = judge(replayed, differences, 1e-3)
    assert passed is False
    assert reason in told


def test_a_failed_call_is_not_told_twice() -> None:
    failed = change(calls=(CALLS[0], Call("prefill, batch 1", 0.1, "buffer too large")))
    assert judge(failed, far(float("inf")), 1e-3)[1].count("prefill") == 1


@pytest.mark.parametrize(
    ("replayed", "reason"),
    [
        (change(device="No supported adapters", calls=()), "the software device does not work"),
        (
            Failure(because("process.too-long", seconds=1500)),
            "not tried to the end: it took over 1500 s",
        ),
    ],
    ids=["no-device", "too-slow"],
)
def test_what_says_nothing_about_the_variant_is_no_failure(replayed, reason: str) -> None:
    passed, told = judge(replayed, far(float("inf")), 1e-3)
    assert passed is None
    assert reason in told


def sized(artifact: Artifact, **changes: int) -> Artifact:
    """Return `artifact` as if its model had other sizes."""
    dims = msgspec.structs.replace(artifact.manifest.dims, **changes)
    return Artifact(artifact.path, msgspec.structs.replace(artifact.manifest, dims=dims))


def test_models_that_the_device_cannot_hold_are_not_tried(small_artifact: Artifact) -> None:
    small = sized(small_artifact, encoder_heads=12, audio_context=1500)
    medium = sized(small_artifact, encoder_heads=16, audio_context=1500)
    assert unfit(small) is None
    reason = unfit(medium)
    assert reason is not None
    assert "137 MiB, the software device reaches 128 MiB" in reason


def test_precisions_without_a_bar_are_not_tried(small_artifact: Artifact) -> None:
    recipe = forms.form(decoder_precision="int8")
    manifest = msgspec.structs.replace(small_artifact.manifest, recipe=recipe)
    assert unfit(Artifact(small_artifact.path, manifest)) == "there is no bar for int8"


def test_the_encoder_is_run_for_one_recording_only(small_artifact, tmp_path) -> None:
    labels = [run.label for run in affordable(record(small_artifact, tmp_path, steps=1)).runs]
    assert labels == [
        "encoder, batch 1",
        *("prefill, batch 1", "step 1, batch 1", "prefill, batch 2", "step 1, batch 2"),
    ]


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of homes."""
    monkeypatch.setenv("WHISPEROPT_REHEARSALS", str(tmp_path / "homes"))
    return tmp_path / "homes"


def install(homes: Path, script: str) -> None:
    """Make a home whose interpreter is a shell script."""
    (homes / "webgpu" / "venv" / "bin").mkdir(parents=True)
    (homes / "webgpu" / "pins").write_text("numpy==2.4.6 onnxruntime-webgpu==1.27.0\n")
    (homes / "mesa").mkdir()
    (homes / "mesa" / "icd.json").write_text("{}")
    python = homes / "webgpu" / "venv" / "bin" / "python"
    python.write_text(f"#!/bin/sh\ncat >request.json\n{script}\n")
    python.chmod(0o755)


def run(artifact: Artifact, folder: Path) -> Rehearsed:
    """Rehearse `artifact`."""
    (folder / "scratch").mkdir()
    return WebgpuRehearsal().run(artifact, folder / "scratch")


def test_the_backend_offers_it() -> None:
    (one,) = registry.require("webgpu").rehearsals()
    assert (one.name, one.tier) == ("webgpu", Tier.EMULATED)


def test_without_its_home_it_is_not_tried_and_says_how(small_artifact, homes, tmp_path) -> None:
    found = run(small_artifact, tmp_path)
    assert found.passed is None
    assert found.reason.startswith("not tried: ")
    assert "`ci/install-rehearsals webgpu`" in found.reason


def test_a_home_is_ready_with_runtime_and_device(homes: Path) -> None:
    install(homes, "")
    assert WebgpuRehearsal().probe().version == "1.27.0"
    (homes / "mesa" / "icd.json").unlink()
    probe = WebgpuRehearsal().probe()
    assert str(homes / "mesa") in str(probe.reason)


def test_the_software_device_alone_is_offered_to_the_runtime(
    small_artifact, homes, tmp_path, monkeypatch
) -> None:
    answered = json.dumps(msgspec.to_builtins(change(device="none", calls=(), nodes=())))
    install(homes, f"echo \"$VK_DRIVER_FILES\" >driver\necho '{answered}'")
    monkeypatch.chdir(tmp_path)
    found = run(small_artifact, tmp_path)
    assert found.passed is None
    assert (tmp_path / "driver").read_text().strip() == str(homes / "mesa" / "icd.json")
    request = json.loads((tmp_path / "request.json").read_text())
    assert (request["stepwise"], request["in_place"]) == (True, True)
    assert len(request["runs"]) == 9


def test_outputs_that_nobody_wrote_are_a_failure(
    small_artifact, homes, tmp_path, monkeypatch
) -> None:
    install(homes, f"echo '{json.dumps(msgspec.to_builtins(RIGHT))}'")
    monkeypatch.chdir(tmp_path)
    found = run(small_artifact, tmp_path)
    assert found.passed is False
    assert "hidden_states (encoder, batch 1) was not computed" in found.reason
    assert found.facts["encoder.onnx"] == "nodes: 40 on WebGpu, 2 on CPU"
    assert found.facts["prefill, batch 1"].startswith("0.25 s (logits off by ")


def test_a_crash_is_a_reason(small_artifact, homes, tmp_path, monkeypatch) -> None:
    install(homes, "kill -SEGV $$")
    monkeypatch.chdir(tmp_path)
    found = run(small_artifact, tmp_path)
    assert found.passed is False
    assert "SIGSEGV" in found.reason
