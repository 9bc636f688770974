"""How the partitioner is asked: in a process of its own that alone sees the stub libraries."""

import os
from pathlib import Path

import pytest
from whisperopt.backends.cuda import rehearsal
from whisperopt.backends.cuda.rehearsal import CudaRehearsal

from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.rehearsal import Rehearsed, rehearse

SESSION = '"providers": ["CUDAExecutionProvider"]'
RIGHT = f'{{{SESSION}, "nodes": [["", "MatMul", "CUDAExecutionProvider"]]}}'
WRONG = f'{{{SESSION}, "nodes": [["", "Conv", "CPUExecutionProvider"]]}}'
CPU_ONLY = '{"providers": ["CPUExecutionProvider"]}'


def install(home: Path, script: str) -> None:
    """Make a home whose interpreter is a shell script."""
    (home / "stubs").mkdir(parents=True)
    (home / "pins").write_text("onnxruntime-gpu==1.31.1 onnx==1.23.2\n")
    (home / "venv" / "bin").mkdir(parents=True)
    python = home / "venv" / "bin" / "python"
    python.write_text(f"#!/bin/sh\nrequest=$(cat)\n{script}\n")
    python.chmod(0o755)


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of homes."""
    monkeypatch.setenv("WHISPEROPT_REHEARSALS", str(tmp_path / "homes"))
    return tmp_path / "homes"


def run(artifact: Artifact, folder: Path) -> Rehearsed:
    """Rehearse `artifact`."""
    (found,) = rehearse(artifact, [CudaRehearsal()], folder)
    return found


def test_the_backend_offers_it() -> None:
    (one,) = registry.require("cuda").rehearsals()
    assert (one.name, one.tier) == ("cuda", Tier.STRUCTURAL)


def test_without_its_home_it_is_not_tried_and_says_how(
    small_artifact: Artifact, homes: Path, tmp_path: Path
) -> None:
    found = run(small_artifact, tmp_path)
    assert found.passed is None
    assert found.reason.startswith("not tried: ")
    assert "`ci/install-rehearsals cuda`" in found.reason


def test_a_home_with_everything_is_ready(homes: Path) -> None:
    install(homes / "cuda", "")
    probe = CudaRehearsal().probe()
    assert probe.ready
    assert (probe.runtime, probe.version) == ("onnxruntime-gpu", "1.31.1")


def test_half_a_home_is_not_ready(homes: Path) -> None:
    install(homes / "cuda", "")
    (homes / "cuda" / "stubs").rmdir()
    assert not CudaRehearsal().probe().ready


def test_a_right_placement_passes_with_its_numbers(
    small_artifact: Artifact, homes: Path, tmp_path: Path
) -> None:
    install(homes / "cuda", f"echo '{RIGHT}'")
    found = run(small_artifact, tmp_path)
    assert found.passed
    assert "decoder 1 on CUDA, none copied" in found.reason
    assert found.facts["encoder"] == "1 on CUDA, none copied"
    assert (found.runtime, found.version) == ("onnxruntime-gpu", "1.31.1")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (f"echo '{WRONG}'", "encoder: Conv is more than lengths: it lands on the CPU once"),
        (f"echo '{CPU_ONLY}'", "decoder: the session silently has only CPUExecutionProvider"),
        ("echo '{\"providers\": 1}'", "its answer cannot be understood"),
        ("echo no answer", "ONNX Runtime's partitioner failed: it gave no answer"),
        ("kill -s ABRT $$", "aborted the process (SIGABRT)"),
        (f"case $request in *encoder*) echo '{RIGHT}';; *) exit 3;; esac", "exit status 3"),
    ],
)
def test_anything_else_fails_with_its_reason(
    script: str, reason: str, small_artifact: Artifact, homes: Path, tmp_path: Path
) -> None:
    install(homes / "cuda", script)
    found = run(small_artifact, tmp_path)
    assert found.passed is False
    assert reason in found.reason


def test_a_partitioner_that_hangs_is_a_reason(
    small_artifact: Artifact, homes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "_SECONDS", 0.2)
    install(homes / "cuda", "sleep 60")
    assert "failed: it took over 0.2 s" in run(small_artifact, tmp_path).reason


def test_only_the_process_that_partitions_sees_the_stub_libraries(
    small_artifact: Artifact, homes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    before = dict(os.environ)
    note = tmp_path / "environment"
    install(homes / "cuda", f"env >> {note}\necho '{RIGHT}'")
    run(small_artifact, tmp_path)
    seen = note.read_text().splitlines()
    assert seen.count(f"LD_LIBRARY_PATH={homes / 'cuda' / 'stubs'}") == 2
    assert seen.count("WHISPEROPT_STUB_DEVICE=1") == 2
    assert dict(os.environ) == before
    assert not {"LD_LIBRARY_PATH", "WHISPEROPT_STUB_DEVICE"} & set(os.environ)
