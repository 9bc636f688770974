"""What is published never changes, and says what the raw samples say."""

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.repository.conftest import PROVEN, UNSIGNED, build, content, index_of
from whisperopt import download
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.release import catalog as catalogs
from whisperopt.release.catalog import ModelEntry
from whisperopt.repository import index as indexes
from whisperopt.repository import opening
from whisperopt.repository.index import Blob, RepositoryIndex
from whisperopt.repository.publish import added, publish, withdraw
from whisperopt.repository.store import ChangedError, FolderStore
from whisperopt.repository.verify import verify

EMPTY = RepositoryIndex(name="models", serial=0, created="")


def published(repo: Path, model: str = "mini") -> ModelEntry:
    release = opening.open_release(repo, model, trust=UNSIGNED)
    return release.catalog.model(model.partition("@")[0])


def changed(folder: Path, edit: Any) -> Path:
    """Return a copy of the proven release in `folder`, its catalog as `edit` leaves it."""
    shutil.copytree(PROVEN, folder)
    document = json.loads((folder / catalogs.NAME).read_bytes())
    edit(document["models"]["mini"])
    (folder / catalogs.NAME).write_text(json.dumps(document), "utf-8")
    return folder


def test_what_is_published_is_fetched_byte_for_byte(repo: Path, tmp_path: Path) -> None:
    done = publish(PROVEN, repo, version="1.2.0")
    assert (done.published, done.serial, done.kind) == (("mini",), 1, "unsigned repository")
    assert done.changes == ()
    before = catalogs.read(PROVEN).model("mini")
    for variant in before.variants:
        to = tmp_path / variant.name
        download.fetch("mini", repo=repo, to=to, variant=variant.name, trust=UNSIGNED)
        assert {p.name: p.read_bytes() for p in to.iterdir()} == {
            file.path: (PROVEN / variant.lies(file)).read_bytes() for file in variant.files
        }
    entry = published(repo)
    assert entry.version == "1.2.0"
    assert {v.digest: v.evidence for v in entry.variants} == {
        v.digest: v.evidence for v in before.variants
    }
    assert {file.path for file in entry.documents} == {
        *(path.relative_to(PROVEN).as_posix() for path in PROVEN.glob("evidence/*")),
        *(f"provenance/{variant.name}.intoto.json" for variant in before.variants),
        *("README.md", "bom.cdx.json"),
    }


def test_a_repository_takes_the_place_of_unique_bytes(repo: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    second = publish(PROVEN, repo, version="1.1rc1")
    assert (second.serial, second.blobs) == (2, 3)  # catalog, card and bill name the version
    assert sorted(path.name for path in repo.iterdir()) == [".lock", "blobs", "repository.json"]
    blobs = content(repo / "blobs" / "sha256")
    assert len(set(blobs.values())) == len(blobs)
    assert verify(repo, deep=True, trust=UNSIGNED).findings == ()


def test_the_same_content_again_changes_nothing_and_says_so(repo: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    before = content(repo)
    again = publish(PROVEN, repo, version="1.0")
    assert (again.published, again.unchanged, again.blobs) == ((), ("mini",), 0)
    assert (again.serial, content(repo)) == (1, before)


def test_other_content_is_refused_before_anything_is_sent(repo: Path, tmp_path: Path) -> None:
    publish(build(tmp_path / "one", 1), repo, version="1.0")
    before = content(repo)
    for same in ("1.0", "1.0.0"):
        with pytest.raises(BadInputError, match=r"tiny\.en has the version 1\.0 since .*never"):
            publish(build(tmp_path / f"two{same}", 2), repo, version=same)
    assert content(repo) == before


def test_models_and_versions_live_side_by_side(repo: Path, tmp_path: Path) -> None:
    publish(build(tmp_path / "one", 1), repo, version="1.0")
    publish(build(tmp_path / "two", 2), repo, version="2.0")
    publish(build(tmp_path / "base", 3, "base"), repo, version="1.0")
    index = index_of(repo)
    assert {m: list(v.versions) for m, v in index.models.items()} == {
        "base": ["1.0"],
        "tiny.en": ["1.0", "2.0"],
    }
    assert published(repo, "tiny.en").variants != published(repo, "tiny.en@1").variants
    assert {m: v.serial for m, v in index.versions("tiny.en").items()} == {"1.0": 1, "2.0": 2}
    assert index.serial == 3
    with pytest.raises(BadInputError, match="several models"):
        opening.open_release(repo, trust=UNSIGNED)


def lie(key: str, value: Any) -> Any:
    def edit(entry: dict[str, Any]) -> None:
        entry["variants"][0]["evidence"][0][key] = value

    return edit


@pytest.mark.parametrize(
    "edit", [lie("rtfx", 4000.0), lie("latency_ms_p50", 0.5), lie("wer_delta", -3.0)]
)
def test_what_the_catalog_says_of_proofs_is_computed_anew(
    repo: Path, tmp_path: Path, edit: Any
) -> None:
    done = publish(changed(tmp_path / "lying", edit), repo, version="1.0")
    assert [change.what for change in done.changes] == [
        "cpu-gqa-fp32 on linux-x86_64-amd-avx2-onnxruntime-1.32.0"
    ]
    truth = catalogs.read(PROVEN).model("mini").variants[0].evidence
    assert published(repo).variants[0].evidence == truth


def test_a_proof_without_samples_does_not_count(repo: Path, tmp_path: Path) -> None:
    lying = changed(tmp_path / "lying", lie("report", "evidence/none.json"))
    done = publish(lying, repo, version="1.0")
    assert "no raw samples stand behind it" in done.changes[0].now
    assert published(repo).variants[0].evidence == ()
    assert published(repo).variants[0].tier == "structural"


@pytest.mark.parametrize(
    "victim", ["mini--cpu-gqa-fp32/decoder.onnx.data", "evidence/mini--core--f86082bc3393.npz"]
)
@pytest.mark.parametrize("longer", [False, True])
def test_bytes_that_the_catalog_does_not_name_are_never_published(
    repo: Path, tmp_path: Path, victim: str, *, longer: bool
) -> None:
    folder = changed(tmp_path / "damaged", lambda _: None)
    data = (folder / victim).read_bytes()
    (folder / victim).write_bytes(data + b"x" if longer else data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=victim.rpartition("/")[2]):
        publish(folder, repo, version="1.0")
    assert not (repo / "repository.json").exists()
    shutil.copyfile(PROVEN / victim, folder / victim)
    publish(folder, repo, version="1.0")
    (folder / victim).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=victim.rpartition("/")[2]):
        publish(folder, repo, version="1.1")  # although the repository has the right bytes


def test_a_blob_that_was_damaged_or_lost_is_restored_by_the_same_content(repo: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    before = content(repo)
    first, second, third = sorted((repo / "blobs" / "sha256").iterdir())[:3]
    first.unlink()
    second.write_bytes(b"x")
    third.unlink()
    third.symlink_to(second)
    again = publish(PROVEN, repo, version="1.0")
    assert (again.unchanged, again.blobs) == (("mini",), 3)
    assert content(repo) == before
    assert not third.is_symlink()


def test_withdrawing_says_why_and_leaves_the_bytes(repo: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    publish(PROVEN, repo, version="1.1")
    done = withdraw("mini@1.1", repo, why="loops on silence")
    assert (done.serial, done.version, done.newest) == (3, "1.1", "1.0")
    assert withdraw("mini@1.1.0", repo, why="loops on silence").serial == 3
    assert published(repo).version == "1.0"
    asked = opening.open_release(repo, "mini@1.1", trust=UNSIGNED)
    assert asked.resolved is not None
    assert asked.resolved.version.withdrawn == "loops on silence"
    assert publish(PROVEN, repo, version="1.1").unchanged == ("mini",)
    assert index_of(repo).versions("mini")["1.1"].withdrawn


@pytest.mark.parametrize(
    ("model", "why", "said"),
    [
        ("mini", "bad", "does not say which version"),
        ("mini@2", "bad", "no version 2"),
        ("huge@1.0", "bad", "no model 'huge'"),
        ("mini@1.0", " ", "no reason"),
        ("mini@1.0", "a\x1b[2J", "no reason"),
        ("mini@1.0", "x" * 1001, "no reason"),
    ],
)
def test_what_cannot_be_withdrawn_is_told(repo: Path, model: str, why: str, said: str) -> None:
    publish(PROVEN, repo, version="1.0")
    with pytest.raises(BadInputError, match=said):
        withdraw(model, repo, why=why)
    assert index_of(repo).serial == 1


@pytest.mark.parametrize(
    ("version", "said"),
    [("newest", "no version"), ("", "no version"), ("1.0+mine", "local version"), ("1/2", "no")],
)
def test_a_version_is_one_of_pep_440(repo: Path, version: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        publish(PROVEN, repo, version=version)
    assert not repo.exists()


def test_nothing_is_published_over_something_else(repo: Path, tmp_path: Path) -> None:
    shutil.copytree(PROVEN, tmp_path / "build")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_bytes(b"")
    (tmp_path / "linked" / "blobs").mkdir(parents=True)
    (tmp_path / "linked" / "blobs" / "sha256").symlink_to(tmp_path / "home")
    for name, said in {
        "build": "is a build folder",
        "home": r"for example thesis\.txt",
        "home/thesis.txt": "is a file",
        "linked": "is a link",
    }.items():
        with pytest.raises(BadInputError, match=said):
            publish(PROVEN, tmp_path / name, version="1.0")
    with pytest.raises(BadInputError, match="Nothing can be published to"):
        publish(PROVEN, "https://models.example", version="1.0")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.txt"]


def test_links_to_folders_lead_nowhere(repo: Path, tmp_path: Path) -> None:
    folder = changed(tmp_path / "linked", lambda _: None)
    (folder / "evidence").rename(tmp_path / "evidence")
    (folder / "evidence").symlink_to(tmp_path / "evidence")
    with pytest.raises(BadInputError):
        publish(folder, repo, version="1.0")


def test_publishers_at_once_lose_no_version(repo: Path, tmp_path: Path) -> None:
    folder, failed = build(tmp_path / "one"), []

    def work(number: int) -> None:
        try:
            publish(folder, repo, version=f"1.{number}")
        except Exception as error:  # noqa: BLE001  # whatever it is, the test fails
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert index_of(repo).serial == 6
    assert set(index_of(repo).versions("tiny.en")) == {f"1.{number}" for number in range(6)}


def test_where_locks_lie_the_later_one_commits_on_top_of_the_other(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain = build(tmp_path / "one"), FolderStore.commit
    others = ["1.1", "1.2"]

    def commit(store: FolderStore, files: Any, *, after: bytes | None) -> None:
        if others:
            index = index_of(repo) if (repo / "repository.json").exists() else EMPTY
            index = added(index, {"base": Blob("a" * 64, 1)}, others.pop(), "")
            plain(store, {"repository.json": indexes.encode(index)}, after=after)
        plain(store, files, after=after)

    monkeypatch.setattr(FolderStore, "commit", commit)
    assert publish(folder, repo, version="1.0").serial == 3
    assert set(index_of(repo).versions("base")) == {"1.1", "1.2"}
    assert set(index_of(repo).versions("tiny.en")) == {"1.0"}
    with pytest.raises(ChangedError):
        plain(FolderStore(repo), {"repository.json": b"{}"}, after=b"what was there long ago")


class Killed(BaseException):
    """Stands for kill -9."""


def test_a_publisher_that_dies_at_any_step_leaves_the_old_state_and_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = build(tmp_path / "one", 1), build(tmp_path / "two", 2)
    left = [-1]

    def watched(function: Any) -> Any:
        def step(*args: Any, **options: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return function(*args, **options)

        return step

    for name in ("replace", "mkdir", "fsync"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    repo = tmp_path / "repo"
    publish(one, repo, version="1.0")
    shutil.copytree(repo, tmp_path / "before")
    steps = 0
    for step in range(0, 200, 3):
        shutil.rmtree(repo)
        shutil.copytree(tmp_path / "before", repo)
        left[0] = step
        try:
            publish(two, repo, version="2.0")
            interrupted = False
        except Killed:
            interrupted = True
        left[0] = -1
        new = "2.0" in index_of(repo).versions("tiny.en")
        assert new or interrupted
        assert not verify(repo, deep=True, trust=UNSIGNED).broken
        assert published(repo, "tiny.en").version == ("2.0" if new else "1.0")
        publish(two, repo, version="2.0")
        assert verify(repo, deep=True, trust=UNSIGNED).findings == ()
        assert not (repo / ".new").exists()
        steps = step
        if not interrupted:
            break
    assert steps > 10
