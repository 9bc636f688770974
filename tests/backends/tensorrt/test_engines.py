"""What was built is used again only where everything that decides is the same."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from whisperopt.backends.tensorrt import engine_folder

from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.host import Gpu, Host

RUNTIME = "TensorRT 10.15"
RTX_4070 = Gpu(vendor="nvidia", name="RTX 4070", driver="580.65", compute_capability="8.9")
HERE = Host(os="linux", arch="x86_64", cpu_vendor="amd", gpus=(RTX_4070,))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with one GPU and an empty cache."""
    monkeypatch.setattr(hosts, "probe", lambda: HERE)
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path))
    return tmp_path


def test_engines_lie_in_the_cache_under_the_gpu(here: Path, small_artifact: Artifact) -> None:
    built = engine_folder(small_artifact, RUNTIME)
    assert built is not None
    assert built.is_dir()
    assert built.parent == here / "engines"
    assert built.name.startswith("sm89-")
    assert built == engine_folder(small_artifact, RUNTIME)


@pytest.mark.parametrize("changed", [{"driver": "581.0"}, {"compute_capability": "9.0"}, None])
def test_another_gpu_or_driver_builds_again(
    changed: dict[str, str] | None,
    here: Path,
    small_artifact: Artifact,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = engine_folder(small_artifact, RUNTIME)
    gpus = (replace(RTX_4070, **changed),) if changed else ()
    monkeypatch.setattr(hosts, "probe", lambda: replace(HERE, gpus=gpus))
    assert engine_folder(small_artifact, RUNTIME) != before


def test_another_runtime_or_artifact_builds_again(here: Path, small_artifact: Artifact) -> None:
    before = engine_folder(small_artifact, RUNTIME)
    assert engine_folder(small_artifact, "TensorRT 10.16") != before
    assert engine_folder(None, RUNTIME) != before


def test_a_changed_file_is_another_artifact(here: Path, small_artifact: Artifact) -> None:
    graph = here / "decoder.onnx"
    graph.write_bytes(b"one")
    artifact = Artifact(here, small_artifact.manifest)
    before = engine_folder(artifact, RUNTIME)
    os.utime(graph, ns=(1, 1))
    assert engine_folder(artifact, RUNTIME) != before


def test_without_a_cache_engines_are_built_again(here: Path, small_artifact: Artifact) -> None:
    (here / "engines").write_text("in the way")
    assert engine_folder(small_artifact, RUNTIME) is None
