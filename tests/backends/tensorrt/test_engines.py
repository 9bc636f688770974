"""What was built is used again only where everything that decides is the same."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisperopt.backends.tensorrt import engines
from whisperopt.backends.tensorrt.engines import cache_key

from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.host import Gpu, Host

FACTS = {"artifact": "a1", "driver": "580.65", "capability": "8.9", "runtime": "10.15"}
RTX_4070 = Gpu(vendor="nvidia", name="RTX 4070", driver="580.65", compute_capability="8.9")


def test_the_same_facts_give_the_same_name() -> None:
    assert cache_key(**FACTS) == cache_key(**FACTS)
    assert cache_key(**FACTS).startswith("sm89-")


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_decides(name: str) -> None:
    assert cache_key(**{**FACTS, name: "9.0"}) != cache_key(**FACTS)


@given(st.lists(st.text(max_size=4), min_size=4, max_size=4))
def test_facts_never_run_into_each_other(texts: list[str]) -> None:
    one = dict(zip(FACTS, texts, strict=True))
    shifted = dict(zip(FACTS, [texts[0] + texts[1], "", *texts[2:]], strict=True))
    assert (cache_key(**one) == cache_key(**shifted)) == (one == shifted)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with one GPU and an empty cache."""
    host = Host(os="linux", arch="x86_64", cpu_vendor="amd", gpus=(RTX_4070,))
    monkeypatch.setattr(hosts, "probe", lambda: host)
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path))
    return tmp_path


def test_engines_lie_in_the_cache_under_the_gpu(here: Path, small_artifact: Artifact) -> None:
    built = engines.folder(small_artifact, "TensorRT 10.15")
    assert built is not None
    assert built.is_dir()
    assert built.parent == here / "engines"
    assert built.name.startswith("sm89-")
    assert built == engines.folder(small_artifact, "TensorRT 10.15")
    assert built != engines.folder(small_artifact, "TensorRT 10.16")
    assert built != engines.folder(None, "TensorRT 10.15")


def test_a_changed_file_is_another_artifact(here: Path, small_artifact: Artifact) -> None:
    graph = here / "decoder.onnx"
    graph.write_bytes(b"one")
    artifact = Artifact(here, small_artifact.manifest)
    before = engines.folder(artifact, "TensorRT 10.15")
    os.utime(graph, ns=(1, 1))
    assert engines.folder(artifact, "TensorRT 10.15") != before


def test_without_a_cache_engines_are_built_again(
    here: Path, small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "engines").write_text("in the way")
    assert engines.folder(small_artifact, "TensorRT 10.15") is None
