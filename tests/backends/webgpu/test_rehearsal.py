"""What is not tried, and how the runtime is asked: by hand-made answers, without any runtime."""

import json
from pathlib import Path

import msgspec
import pytest
from whisperopt.backends.webgpu.rehearsal import WebgpuRehearsal, check_fits

from tests.passes import forms
from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.rehearsal import NotTried, Rehearsed, rehearse
from whisperopt.static_checks.replay import Call, Nodes, Replayed

GPU, CPU = "WebGpuExecutionProvider", "CPUExecutionProvider"
RIGHT = Replayed(
    calls=(Call("encoder, batch 1", 1.5), Call("prefill, batch 1", 0.25)),
    nodes=(Nodes("encoder.onnx", "MatMul", GPU, 40), Nodes("encoder.onnx", "Gather", CPU, 2)),
)


def sized(artifact: Artifact, **changes: int) -> Artifact:
    """Return `artifact` as if its model had other sizes."""
    dims = msgspec.structs.replace(artifact.manifest.dims, **changes)
    return Artifact(artifact.path, msgspec.structs.replace(artifact.manifest, dims=dims))


def test_models_that_the_device_cannot_hold_are_not_tried(small_artifact: Artifact) -> None:
    small = sized(small_artifact, encoder_heads=12, audio_context=1500)
    medium = sized(small_artifact, encoder_heads=16, audio_context=1500)
    check_fits(small)
    with pytest.raises(NotTried, match="137 MiB, the software device reaches 128 MiB"):
        check_fits(medium)


def test_precisions_without_a_bar_are_not_tried(small_artifact: Artifact) -> None:
    recipe = forms.form(decoder_precision="int8")
    manifest = msgspec.structs.replace(small_artifact.manifest, recipe=recipe)
    with pytest.raises(NotTried, match="there is no bar for int8"):
        check_fits(Artifact(small_artifact.path, manifest))


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
    (found,) = rehearse(artifact, [WebgpuRehearsal()], folder)
    return found


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
    answered = json.dumps({"device": "none"})
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
    assert "(prefill, batch 1) was not computed" in found.reason
    assert found.facts["encoder.onnx"] == "nodes: 40 on WebGpu, 2 on CPU"
    assert found.facts["prefill, batch 1"].startswith("0.25 s (logits off by ")


def test_a_crash_is_a_reason(small_artifact, homes, tmp_path, monkeypatch) -> None:
    install(homes, "kill -SEGV $$")
    monkeypatch.chdir(tmp_path)
    found = run(small_artifact, tmp_path)
    assert found.passed is False
    assert "SIGSEGV" in found.reason
