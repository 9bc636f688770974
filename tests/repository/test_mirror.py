"""A mirror is a repository of its own that holds what it was told to."""

import shutil
from pathlib import Path

import pytest

from tests.download.server import serve
from tests.release.small import fill
from tests.repository.conftest import PROVEN, UNSIGNED, build, content, index_of
from tests.selection.releases import host
from whisperopt import download
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.repository.listing import listed
from whisperopt.repository.mirror import Mirrored
from whisperopt.repository.mirror import mirror as mirrors
from whisperopt.repository.publish import publish
from whisperopt.repository.verify import verify

VM = host("plain-vm-linux")


def mirror(source: Path | str, destination: Path, **asked: object) -> Mirrored:
    return mirrors(source, destination, trust=UNSIGNED, **asked)  # type: ignore[arg-type]


@pytest.fixture
def source(repo: Path, tmp_path: Path) -> Path:
    publish(PROVEN, repo, version="1.0")
    (tmp_path / "build").mkdir()
    fill(tmp_path / "build", {"cpu-gqa-fp32": 1, "cuda-gqa-fp16": 2})
    publish(tmp_path / "build", repo, version="3.0")
    return repo


@pytest.mark.parametrize("served", [False, True])
def test_all_of_a_repository_is_copied_byte_by_byte(
    source: Path, tmp_path: Path, *, served: bool
) -> None:
    with serve(source) as site:
        done = mirror(site.url if served else source, tmp_path / "m")
    assert (done.models, done.targets, done.serial) == (("mini", "tiny.en"), None, 2)
    copied = content(tmp_path / "m")
    assert copied.pop("mirror.json")
    assert copied == content(source)
    assert mirror(source, tmp_path / "m").blobs == 0
    assert verify(tmp_path / "m", deep=True, trust=UNSIGNED).findings == ()


def test_some_models_and_targets_make_a_mirror_that_says_what_it_lacks(
    source: Path, tmp_path: Path
) -> None:
    there = tmp_path / "m"
    mirror(source, there, models=["tiny.en"], targets=["cpu"])
    assert {row.model: row.mirrored for row in listed(there, trust=UNSIGNED).versions} == {
        "mini": False,
        "tiny.en": True,
    }
    found = verify(there, deep=True, trust=UNSIGNED)
    assert {finding.fault for finding in found.findings} == {"not mirrored"}
    assert found.broken == []
    decisions = download.explain(there, "tiny.en", VM, trust=UNSIGNED)["tiny.en"]
    assert [d.variant.name for d in decisions] == ["cpu-gqa-fp32", "cuda-gqa-fp16"]
    assert "does not have it" in decisions[1].reason
    to = tmp_path / "to"
    download.fetch("tiny.en", repo=there, to=to, variant="cpu-gqa-fp32", trust=UNSIGNED)
    with pytest.raises(IntegrityError, match="not in this mirror"):
        download.fetch("mini", repo=there, host=VM, trust=UNSIGNED)
    assert list(download.explain(there, host=VM, trust=UNSIGNED)) == ["tiny.en"]


def test_a_mirror_grows_and_is_brought_up_to_date(source: Path, tmp_path: Path) -> None:
    there = tmp_path / "m"
    mirror(source, there, models=["mini"], targets=["cpu"])
    publish(build(tmp_path / "new", 7), source, version="3.1")
    done = mirror(source, there, models=["tiny.en"], targets=["cuda"])
    assert (done.models, done.targets) == (("mini", "tiny.en"), ("cpu", "cuda"))
    assert index_of(there) == index_of(source)
    assert verify(there, deep=True, trust=UNSIGNED).findings == ()
    again = tmp_path / "again"
    assert mirror(there, again).blobs == sum(path.startswith("blobs") for path in content(there))


def test_what_is_no_mirror_stays_as_it_is(source: Path, tmp_path: Path) -> None:
    for there, said in {PROVEN: "is a build folder", source: "repository of its own"}.items():
        with pytest.raises(BadInputError, match=said):
            mirror(source, there)
    with pytest.raises(BadInputError, match="is a build folder"):
        mirror(PROVEN, tmp_path / "m")
    with pytest.raises(BadInputError, match="no model 'huge'"):
        mirror(source, tmp_path / "m", models=["huge"])
    with pytest.raises(BadInputError, match="for the target cqu"):
        mirror(source, tmp_path / "m", targets=["cqu"])
    mirror(source, tmp_path / "m")
    with pytest.raises(BadInputError, match="is a mirror"):
        publish(PROVEN, tmp_path / "m", version="9")


def test_a_source_that_lags_or_was_rewritten_is_refused(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "old")
    publish(PROVEN, source, version="1.1")
    mirror(source, tmp_path / "m")
    before = content(tmp_path / "m")
    with pytest.raises(IntegrityError, match="has the state 3 of the repository"):
        mirror(tmp_path / "old", tmp_path / "m")
    publish(build(tmp_path / "b", 9), tmp_path / "other", version="1.0")
    for version in ("2", "3", "4"):
        publish(tmp_path / "b", tmp_path / "other", version=version)
    with pytest.raises(IntegrityError, match="no more, or otherwise"):
        mirror(tmp_path / "other", tmp_path / "m")
    assert content(tmp_path / "m") == before


@pytest.mark.parametrize("deed", ["damaged", "longer", "missing"])
def test_a_bad_blob_stops_the_copy_before_its_pointer(
    source: Path, tmp_path: Path, deed: str
) -> None:
    victim = max((source / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = victim.read_bytes()
    victim.write_bytes(data[:-1] + b"\0" if deed == "damaged" else data + b"x")
    if deed == "missing":
        victim.unlink()
    with pytest.raises(IntegrityError):
        mirror(source, tmp_path / "m")
    assert not (tmp_path / "m" / "repository.json").exists()
    assert victim.name not in {path.name for path in (tmp_path / "m").rglob("*")}
    victim.write_bytes(data)
    mirror(source, tmp_path / "m")
    assert verify(tmp_path / "m", deep=True, trust=UNSIGNED).findings == ()
