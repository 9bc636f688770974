"""A build leaves every content once, and a later one takes nobody's bytes away."""

import hashlib
from collections import Counter
from pathlib import Path

import msgspec
import onnx
import pytest

import whisperopt
from tests.makers import write_huggingface
from tests.pipeline.builds import Built, build
from tests.selection.releases import spread
from whisperopt import matrix
from whisperopt.cli.bench import chosen
from whisperopt.download import difference
from whisperopt.inspection.inspect import inspect_release
from whisperopt.matrix import Matrix
from whisperopt.release import catalog

HALVES = {"cuda": ("gqa-fp16", "decomposed-fp16"), "webgpu": ("gqa-fp16", "gqa-fp32")}
CPU = {"cpu": ("gqa-fp32", "gqa-int8", "gqa-int8-spans")}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def only(**recipes: tuple[str, ...]) -> Matrix:
    """Return the packaged matrix with just these recipes."""
    whole = matrix.load()
    targets = [
        msgspec.structs.replace(whole.target(name), recipes=chosen)
        for name, chosen in recipes.items()
    ]
    return msgspec.structs.replace(whole, targets=tuple(targets))


def check(release: Path) -> None:
    """Every variant is as its catalog says, and no content lies there twice."""
    for entry in catalog.read(release).models.values():
        for one in entry.variants:
            assert difference(release / one.path, one, release) is None
    found = [p for p in release.rglob("*") if p.is_file()]
    contents = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in found)
    assert set(contents.values()) == {1}
    assert all(p.stat().st_nlink == 1 and not p.is_symlink() for p in found)


def test_every_content_lies_once_and_every_variant_opens(model: Path, tmp_path: Path) -> None:
    made = build(model, tmp_path / "r", matrix=only(**HALVES, **CPU))
    check(made.path)
    before = sorted(made.path.rglob("*"))
    sizes = {one.variant: one.size for one in inspect_release(made.path).variants}
    assert sizes == {name: one.size for name, one in made.variants().items()}
    for name, one in made.variants().items():
        for part in ("encoder", "decoder"):
            onnx.load(made.folder(name) / f"{part}.onnx")
        assert difference(made.folder(name), one) is None
    assert sorted(made.path.rglob("*")) == before


def test_whoever_opens_a_variant_gets_all_of_it(model: Path, tmp_path: Path) -> None:
    made = build(model, tmp_path / "r", matrix=only(**CPU))
    lent = next(one for one in made.variants().values() if any(f.at for f in one.files))
    for source in (made.path, made.path / lent.path):
        opened = whisperopt.load(source, "cpu").artifact
        assert opened.graph("decoder").with_suffix(".onnx.data").is_file()
    assert {folder.path.parent.name for folder in chosen(made.path, "cpu")} >= {"completed"}


def test_who_loses_bytes_to_what_is_built_anew_gets_copies(model: Path, tmp_path: Path) -> None:
    first = build(model, tmp_path / "r", matrix=only(webgpu=("gqa-fp32",), **CPU))
    assert any(file.at for file in first.variants()["cpu-gqa-fp32"].files)
    cpu = first.variants()["cpu-gqa-fp32"]
    second = build(
        model, tmp_path / "r", target="webgpu", matrix=only(webgpu=("gqa-fp16",), **CPU)
    )
    check(second.path)
    assert second.variants()["cpu-gqa-fp32"].digest == cpu.digest
    assert set(second.variants()) == {"webgpu-gqa-fp16", *(f"cpu-{name}" for name in CPU["cpu"])}


def test_models_share_what_they_have_in_common(model: Path, tmp_path: Path) -> None:
    build(model, tmp_path / "r", matrix=only(cpu=("gqa-fp32",)))
    write_huggingface(tmp_path / "other", seed=1)
    build(tmp_path / "other", tmp_path / "r", matrix=only(cpu=("gqa-fp32",)))
    check(tmp_path / "r")
    build(model, tmp_path / "r", matrix=only(cpu=("gqa-int8",)), version="2")  # who held them goes
    check(tmp_path / "r")


def test_a_release_of_the_old_kind_is_read_and_what_is_built_anew_shares(
    model: Path, tmp_path: Path
) -> None:
    made = build(model, tmp_path / "r", matrix=only(**HALVES, **CPU))
    spread(made.path, schema="1.1")
    old = Built(made.path, made.report, [])
    assert all(difference(made.path / one.path, one) is None for one in old.variants().values())
    build(model, tmp_path / "r", target="cuda", matrix=only(**HALVES, **CPU))
    for one in old.variants().values():
        assert difference(made.path / one.path, one, made.path) is None
    assert catalog.read(made.path).schema == catalog.SCHEMA
    build(model, tmp_path / "r", matrix=only(**HALVES, **CPU))
    check(made.path)
