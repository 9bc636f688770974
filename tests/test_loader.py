"""Opening a model: the best variant that opens, and why the others did not."""

from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import pytest

from tests.makers import tokenizer_json
from tests.selection import releases
from tests.selection.releases import MODEL
from whisperopt import artifact, host, loader, process, registry
from whisperopt.backend import Probe
from whisperopt.errors import BadInputError, IntegrityError, NothingFitsError, WhisperoptError
from whisperopt.release import catalog as catalogs
from whisperopt.release import store
from whisperopt.runtime.transcriber import Transcriber

HOST = releases.host("plain-vm-linux")


class Session:
    """Says the same of everything, and is its own decoder."""

    def encode(self, features: Any) -> Self:
        return self

    def hidden_states(self) -> Any:
        return np.zeros((1, 8, 8), np.float32)

    def step(self, ids: Any) -> Any:
        return np.zeros((*ids.shape, 8), np.float32)


class Backend:
    """Opens everything but what is in `refuses`."""

    def __init__(self) -> None:
        self.refuses: set[str] = set()
        self.opened: list[tuple[str, int | None]] = []

    def open(self, one: artifact.Artifact, *, threads: int | None = None) -> object:
        self.opened.append((one.manifest.variant, threads))
        if one.manifest.variant in self.refuses:
            raise WhisperoptError("The driver is too old", "Update it")
        return Session()


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Backend:
    made = Backend()
    monkeypatch.setattr(registry, "require", lambda _name: made)
    monkeypatch.setattr(process, "possible", lambda: False)  # the backend is of this process
    monkeypatch.setattr(host, "detect", lambda: HOST)
    monkeypatch.setattr(registry, "probe", lambda name: Probe(runtime=name))
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    return write(folder, "cpu-gqa-fp32", "cpu-gqa-int8", "openvino-mha-fp32", "cuda-gqa-fp16")


def write(folder: Path, *names: str) -> Path:
    """Write a release of small artifacts with a tokenizer that can be opened."""
    made = releases.write_release(folder, *names).model(MODEL).variants
    variants = []
    for rank, one in enumerate(made):
        (folder / one.path / artifact.TOKENIZER).write_bytes(tokenizer_json())
        contents = catalogs.describe_files(folder / one.path)
        variants.append(releases.variant(one.name, contents=contents, ladder_rank=rank))
    (folder / catalogs.NAME).write_bytes(catalogs.encode(releases.catalog(*variants)))
    return folder


def opened(transcriber: Transcriber) -> str:
    return transcriber.artifact.manifest.variant


def test_the_best_variant_is_opened_and_the_reason_kept(backend: Backend, release: Path) -> None:
    transcriber = loader.load(release, threads=3)
    assert opened(transcriber) == "cpu-gqa-int8"
    assert backend.opened == [("cpu-gqa-int8", 3)]
    assert transcriber.decisions[0].startswith("cpu-gqa-int8: ")


def test_a_variant_that_does_not_open_gives_way_to_the_next(
    backend: Backend, release: Path
) -> None:
    backend.refuses = {"cpu-gqa-int8"}
    transcriber = loader.load(release)
    assert opened(transcriber) == "cpu-gqa-fp32"
    assert "cpu-gqa-int8: The driver is too old. Update it." in transcriber.decisions


def test_a_runtime_that_is_not_installed_is_named_with_the_remedy(
    backend: Backend, release: Path
) -> None:
    backend.refuses = {"cpu-gqa-int8", "cpu-gqa-fp32"}
    with pytest.raises(NothingFitsError) as caught:
        loader.load(release)
    assert caught.value.exit_code == 3
    assert "cpu-gqa-int8: The driver is too old" in str(caught.value)
    assert "cpu-gqa-fp32: The driver is too old" in str(caught.value)


def test_a_damaged_variant_gives_way_to_the_next(backend: Backend, release: Path) -> None:
    (release / f"{MODEL}--cpu-gqa-int8" / artifact.MANIFEST).write_text("{")
    transcriber = loader.load(release)
    assert opened(transcriber) == "cpu-gqa-fp32"
    assert any("artifact.json cannot be understood" in d for d in transcriber.decisions)


def test_a_missing_variant_gives_way_to_the_next(backend: Backend, release: Path) -> None:
    (release / f"{MODEL}--cpu-gqa-int8" / artifact.MANIFEST).unlink()
    assert opened(loader.load(release)) == "cpu-gqa-fp32"


def test_a_target_restricts_the_choice(backend: Backend, release: Path) -> None:
    assert opened(loader.load(release, target="cpu")) == "cpu-gqa-int8"
    with pytest.raises(NothingFitsError):
        loader.load(release, target="cuda")
    assert [name for name, _ in backend.opened] == ["cpu-gqa-int8"]


@pytest.mark.parametrize("target", ["cpuu", "CPU", "open-vino"])
def test_an_unknown_target_is_bad_input_with_the_nearest(
    backend: Backend, release: Path, target: str
) -> None:
    with pytest.raises(BadInputError) as caught:
        loader.load(release, target=target)
    assert repr(target) in str(caught.value)
    nearest = "openvino" if target.startswith("open") else "cpu"
    assert nearest in caught.value.remedy


def test_a_device_overrides_the_choice(
    backend: Backend, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = [
        msgspec.structs.replace(gpu, uuid=f"GPU-{place}")
        for place, gpu in enumerate(releases.host("two-nvidia-linux").gpus)
    ]
    machine = msgspec.structs.replace(releases.host("two-nvidia-linux"), gpus=tuple(gpus))
    monkeypatch.setattr(host, "detect", lambda: machine)
    best = loader.load(release)
    assert (opened(best), best.artifact.adapter) == ("cuda-gqa-fp16", gpus[1])
    assert f"on {gpus[1]}" in best.decisions[0]
    assert opened(loader.load(release, device="gpu")) == "cuda-gqa-fp16"
    assert loader.load(release, device="gpu-1").artifact.adapter == gpus[1]
    on_cpu = loader.load(release, device="cpu")
    assert opened(on_cpu) == "cpu-gqa-int8"
    assert len(on_cpu.decisions) == 1
    with pytest.raises(NothingFitsError, match="needs compute capability"):
        loader.load(release, device="GPU-0")
    with pytest.raises(BadInputError, match="neither cpu nor gpu"):
        loader.load(release, device="GPU-2")


def test_an_artifact_is_opened_on_the_device_asked_for_or_not_at_all(
    backend: Backend, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = release / f"{MODEL}--cuda-gqa-fp16"
    monkeypatch.setattr(host, "detect", lambda: releases.host("two-nvidia-linux"))
    assert opened(loader.load(folder, device="gpu")) == "cuda-gqa-fp16"
    with pytest.raises(NothingFitsError, match="does not run on cpu"):
        loader.load(folder, device="cpu")
    with pytest.raises(NothingFitsError, match="does not run on gpu"):
        loader.load(artifact.read(release / f"{MODEL}--cpu-gqa-int8"), device="gpu")


def test_an_artifacts_folder_is_opened_as_it_is(backend: Backend, release: Path) -> None:
    folder = release / f"{MODEL}--cuda-gqa-fp16"
    assert opened(loader.load(folder)) == "cuda-gqa-fp16"
    assert opened(loader.load(artifact.read(folder))) == "cuda-gqa-fp16"
    with pytest.raises(BadInputError, match="built for the target cuda, not for cpu"):
        loader.load(folder, target="cpu")


def test_a_fetched_model_goes_by_its_name(backend: Backend, release: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache/artifacts"
    cache.mkdir(parents=True)
    (release / f"{MODEL}--cpu-gqa-int8").rename(cache / f"{MODEL}--cpu-gqa-int8--0123")
    assert opened(loader.load(MODEL)) == "cpu-gqa-int8"
    assert opened(loader.load()) == "cpu-gqa-int8"
    assert opened(loader.load(MODEL, device="cpu")) == "cpu-gqa-int8"
    with pytest.raises(NothingFitsError, match="no GPU"):
        loader.load(MODEL, device="gpu")
    with pytest.raises(BadInputError, match=r"for the target 'cpuu'\. Did you mean 'cpu'\?"):
        loader.load(MODEL, target="cpuu")


@pytest.mark.parametrize("name", ["tiny.enn", "nowhere/at/all", MODEL])
def test_what_was_never_built_or_fetched_is_named(backend: Backend, name: str) -> None:
    with pytest.raises(BadInputError) as caught:
        loader.load(name)
    assert repr(name) in str(caught.value)
    assert "whisperopt build" in caught.value.remedy


def test_another_folder_is_named(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="neither a release nor an artifact"):
        loader.load(tmp_path)


def test_one_of_several_models_must_be_named(backend: Backend, release: Path) -> None:
    content = catalogs.read(release)
    both = msgspec.structs.replace(
        content, models={**content.models, "other": content.model(MODEL)}
    )
    (release / catalogs.NAME).write_bytes(catalogs.encode(both))
    with pytest.raises(BadInputError, match=r"several models: other, tiny\.en"):
        loader.load(release)
    assert opened(loader.load(release, model=MODEL)) == "cpu-gqa-int8"
    with pytest.raises(BadInputError, match="no model 'base'"):
        loader.load(release, model="base")


def test_an_interrupted_commit_is_told_and_left_alone(backend: Backend, release: Path) -> None:
    (release / ".commit").mkdir()
    write(release / ".commit", "cpu-gqa-int8")
    with pytest.raises(BadInputError, match="`whisperopt build`"):
        loader.load(release)
    assert (release / ".commit" / catalogs.NAME).is_file()
    store.recover(release)
    assert opened(loader.load(release)) == "cpu-gqa-int8"


def test_only_the_chosen_runtime_is_asked_for(
    backend: Backend, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def require(name: str) -> Backend:
        asked.append(name)
        return backend

    monkeypatch.setattr(registry, "require", require)
    loader.load(release)
    assert asked == ["cpu"]


def test_a_gpu_that_is_not_used_is_told_with_the_remedy(
    backend: Backend, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = {"onnxruntime": "1.27.0"}
    bare = msgspec.structs.replace(releases.host("rtx4070-windows"), runtimes=wheels)
    monkeypatch.setattr(host, "detect", lambda: bare)
    chosen, told = loader.load(release).decisions
    assert chosen.startswith("cpu-gqa-int8: ")
    assert told.startswith("cuda-gqa-fp16: installable: onnxruntime-gpu is not installed.")
    assert told.endswith("pip uninstall -y onnxruntime && pip install 'whisperopt[cuda]'")
    asked = loader.load(release, target="cpu")
    assert len(asked.decisions) == 1


def test_a_gpu_whose_backend_is_broken_is_told_with_the_reason(
    backend: Backend, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "detect", lambda: releases.host("broken-cuda-linux"))
    chosen, told = loader.load(release).decisions
    assert chosen.startswith("cpu-gqa-int8: ")
    assert "libcublasLt.so.13 is not found" in told


@pytest.mark.parametrize("vanishing", ["the GPU is lost", "CUDA error 999"])
def test_what_a_backend_raises_is_a_reason_whatever_it_is(
    backend: Backend, release: Path, monkeypatch: pytest.MonkeyPatch, vanishing: str
) -> None:
    def opened_once(one: artifact.Artifact, *, threads: int | None = None) -> Session:
        if one.manifest.variant == "cpu-gqa-int8":
            raise RuntimeError(vanishing)
        return Session()

    monkeypatch.setattr(backend, "open", opened_once)
    transcriber = loader.load(release)
    assert opened(transcriber) == "cpu-gqa-fp32"
    assert any(f"RuntimeError: {vanishing}" in reason for reason in transcriber.decisions)


def test_an_artifact_of_a_backend_that_is_not_there_gives_way(
    backend: Backend, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def require(name: str) -> Backend:
        raise BadInputError(f"There is no backend {name!r}")

    monkeypatch.setattr(registry, "require", require)
    with pytest.raises(NothingFitsError, match="There is no backend 'cpu'"):
        loader.load(release)


def test_an_artifact_of_a_newer_schema_gives_way_to_the_next(
    backend: Backend, release: Path
) -> None:
    manifest = release / f"{MODEL}--cpu-gqa-int8" / artifact.MANIFEST
    manifest.write_text(manifest.read_text().replace('"schema": "1.0"', '"schema": "2.0"'))
    transcriber = loader.load(release)
    assert opened(transcriber) == "cpu-gqa-fp32"
    assert any("this whisperopt reads '1.0'" in reason for reason in transcriber.decisions)


def test_a_file_that_changed_gives_way_to_the_next_variant(
    backend: Backend, release: Path
) -> None:
    content = catalogs.read(release)
    first = opened(loader.load(release))
    variant = next(v for v in content.model(MODEL).variants if v.name == first)
    graph = release / variant.path / "encoder.onnx"
    graph.write_bytes(graph.read_bytes() + b"x")
    chosen, *others = loader.load(release).decisions
    assert not chosen.startswith(first)
    assert any(told.startswith(first) and "is damaged: encoder.onnx" in told for told in others)
    with pytest.raises(IntegrityError, match="is damaged: encoder"):
        loader.load(release / variant.path)
