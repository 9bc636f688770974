"""A release is whole at every moment, whoever dies when."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.makers import write_huggingface
from tests.selection.releases import MODEL, catalog, variant, write_artifact
from whisperopt.errors import BadInputError, DiskError
from whisperopt.release import catalog as catalogs
from whisperopt.release import store

OLD = {"cpu-gqa-fp32": 1, "cpu-gqa-int8": 1, "cuda-gqa-fp16": 1}
NEW = {"cpu-gqa-fp32": 2, "openvino-mha-fp32": 2, "cuda-gqa-fp16": 1}


def fill(folder: Path, variants: dict[str, int]) -> None:
    """Put a release into `folder`: variants and how heavy each is, evidence, report, catalog."""
    made = []
    for name, weights in variants.items():
        target, _, recipe = name.partition("-")
        write_artifact(folder / f"{MODEL}--{name}", target, recipe, weights)
        contents = catalogs.describe_files(folder / f"{MODEL}--{name}")
        made.append(variant(name, contents=contents))
    (folder / "evidence").mkdir()
    (folder / "evidence" / f"{sum(variants.values())}.json").write_bytes(b"{}")
    (folder / "report.json").write_text(str(sorted(variants.items())))
    (folder / catalogs.NAME).write_bytes(catalogs.encode(catalog(*made)))


def verify(release: Path) -> set[str]:
    """Check every file that the catalog names; return the names of the variants."""
    found = set()
    for model in catalogs.read(release).models.values():
        for one in model.variants:
            found.add(one.name)
            assert catalogs.describe_files(release / one.path) == one.files
            for entry in one.evidence:
                assert (release / entry.report).is_file()
    return found


def state(release: Path) -> dict[str, bytes]:
    """Return every file of a release with its content."""
    files = (path for path in release.rglob("*") if path.is_file())
    return {str(path.relative_to(release)): path.read_bytes() for path in files}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    fill(folder, OLD)
    return folder


def test_what_is_committed_replaces_what_was_there(release: Path) -> None:
    with store.staging(release) as staging:
        fill(staging, NEW)
        store.commit(staging, release)
    store.prune(release)
    assert verify(release) == set(NEW)
    assert sorted(path.name for path in release.iterdir()) == sorted(
        [catalogs.NAME, "evidence", "report.json", *[f"{MODEL}--{name}" for name in NEW]]
    )
    assert [path.name for path in (release / "evidence").iterdir()] == ["5.json"]


def test_a_new_release_is_made_with_its_parents(tmp_path: Path) -> None:
    with store.staging(tmp_path / "a/b") as staging:
        assert staging.parent == tmp_path / "a/b"
        fill(staging, NEW)
        store.commit(staging, tmp_path / "a/b")
    assert verify(tmp_path / "a/b") == set(NEW)


@pytest.mark.parametrize("failure", [BadInputError("x"), KeyboardInterrupt(), ValueError()])
def test_nothing_is_left_of_a_build_that_fails(
    tmp_path: Path, release: Path, failure: BaseException
) -> None:
    before = state(release)
    for folder in (release, tmp_path / "fresh"):
        with pytest.raises(type(failure)):
            _fail(folder, failure)
    assert state(release) == before
    assert not (tmp_path / "fresh").exists()


def test_the_catalog_goes_last(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    replace = os.replace

    def record(source: Any, target: Any) -> None:
        moved.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", record)
    with store.staging(release) as staging:
        fill(staging, NEW)
        store.commit(staging, release)
    assert moved[-1] == catalogs.NAME
    assert len(moved) == len(NEW) + 3


def test_what_has_no_catalog_is_not_committed(release: Path) -> None:
    before = state(release)
    with pytest.raises(BadInputError, match="catalog"), store.staging(release) as staging:
        store.commit(staging, release)
    assert state(release) == before


class Killed(BaseException):
    """Stands for kill -9."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Count every change of the disk, and end at the one that `left` comes to."""
    counter = {"left": -1}

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            if counter["left"] == 0:
                raise Killed
            counter["left"] -= 1
            return function(*args, **options)

        return step

    for name in ("rename", "replace", "unlink", "rmdir", "mkdir"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    yield counter
    counter["left"] = -1


@pytest.mark.parametrize("fresh", [False, True], ids=["update", "first"])
def test_a_commit_interrupted_at_any_step_is_old_or_new_never_mixed(
    tmp_path: Path, steps: dict[str, int], *, fresh: bool
) -> None:
    outcomes = []
    for step in range(200):
        release = tmp_path / str(step)
        release.mkdir()
        if not fresh:
            fill(release, OLD)
        staging = release / ".staging-0-x"
        staging.mkdir()
        fill(staging, NEW)
        steps["left"] = step
        try:
            store.commit(staging, release)
            interrupted = False
        except Killed:
            interrupted = True
        steps["left"] = -1
        decided = not staging.exists()
        if (release / ".commit").exists():
            with pytest.raises(BadInputError, match="`whisperopt build`"):
                store.read(release)
        store.recover(release)
        assert decided or interrupted
        if decided or not fresh:
            assert verify(release) == set(NEW if decided else OLD)
            weight = sum((NEW if decided else OLD).values())
            assert (release / "evidence" / f"{weight}.json").is_file()
        assert not (release / ".commit").exists()
        outcomes.append(decided)
        if not interrupted:
            break
    assert outcomes[0] is False
    assert outcomes[-1] is True
    assert outcomes == sorted(outcomes)
    assert len(outcomes) > len(NEW) + 3


def test_a_recovery_may_be_interrupted_as_often_as_it_likes(
    release: Path, steps: dict[str, int]
) -> None:
    staging = release / ".staging-0-x"
    staging.mkdir()
    fill(staging, NEW)
    staging.rename(release / ".commit")
    for _ in range(200):
        steps["left"] = 3
        try:
            store.recover(release)
            break
        except Killed:
            steps["left"] = -1
            if not (release / ".commit").exists():
                break
    steps["left"] = -1
    store.recover(release)
    assert verify(release) == set(NEW)
    assert not (release / ".commit").exists()


def test_the_next_build_finishes_an_interrupted_commit_first(release: Path) -> None:
    fill_in = release / ".staging-0-x"
    fill_in.mkdir()
    fill(fill_in, NEW)
    fill_in.rename(release / ".commit")
    with store.staging(release):
        assert verify(release) == set(NEW)
    assert verify(release) == set(NEW)


def test_who_reads_waits_for_a_commit_that_is_at_work(release: Path) -> None:
    staging = release / ".staging-0-x"
    staging.mkdir()
    fill(staging, NEW)
    at_work = Event()

    def build() -> None:
        with store.locked(release):
            staging.rename(release / ".commit")
            at_work.set()
            time.sleep(0.5)
            store._finish(release)

    with ThreadPoolExecutor() as pool:
        building = pool.submit(build)
        assert at_work.wait(60)
        found = store.read(release)
        building.result()
    assert {one.name for one in found.models[MODEL].variants} == set(NEW)


def test_links_inside_a_commit_are_not_followed(release: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (release / ".commit").mkdir()
    fill(release / ".commit", NEW)
    (release / ".commit" / "more").symlink_to(tmp_path / "home")
    before = state(release)
    with pytest.raises(BadInputError, match="more is a link"):
        store.recover(release)
    assert state(release) == before


def test_recovery_of_a_whole_release_does_nothing(release: Path) -> None:
    before = state(release)
    store.recover(release)
    assert state(release) == before


def test_leftovers_of_dead_builds_are_swept_and_those_of_living_ones_kept(release: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folders = {
        "dead": release / f".staging-{dead.pid}-abc",
        "odd": release / ".staging-nobody",
        "living": release / f".staging-{os.getppid()}-abc",
    }
    for folder in folders.values():
        (folder / "deep").mkdir(parents=True)
    with store.staging(release):
        pass
    assert [name for name, folder in folders.items() if folder.exists()] == ["living"]


def test_only_artifacts_that_nobody_names_are_pruned(release: Path) -> None:
    (release / f"{MODEL}--cpu-old").mkdir()
    (release / f"{MODEL}--cpu-old" / "artifact.json").write_text("{}")
    (release / "notes--mine").mkdir()
    store.prune(release)
    assert verify(release) == set(OLD)
    assert not (release / f"{MODEL}--cpu-old").exists()
    assert (release / "notes--mine").is_dir()


def _foreign_file(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("x")


def _foreign_catalog(folder: Path) -> None:
    folder.mkdir()
    (folder / catalogs.NAME).write_text('{"items": []}')
    (folder / "shop--items").mkdir()


def _file(folder: Path) -> None:
    folder.write_text("x")


def _dangling(folder: Path) -> None:
    folder.symlink_to(folder.with_name("nowhere"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_foreign_file, "something other than a release (for example thesis.tex)"),
        (_foreign_catalog, "something other than a release"),
        (_file, "is a file"),
        (_dangling, "cannot be written"),
    ],
)
def test_what_is_no_release_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    make(tmp_path / "out")
    before = state(tmp_path)
    with pytest.raises(BadInputError) as caught, store.staging(tmp_path / "out"):
        pytest.fail("nothing may be staged there")
    assert words in str(caught.value)
    assert state(tmp_path) == before


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(BadInputError, match="cannot be written"),
        store.staging(tmp_path / "file/out"),
    ):
        pass


@pytest.mark.parametrize("function", ["mkdir", "iterdir"])
def test_a_folder_that_may_not_be_touched_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def refuse(self: Path, *_args: Any, **_options: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    if function == "iterdir":
        (tmp_path / "out").mkdir()
    monkeypatch.setattr(Path, function, refuse)
    with (
        pytest.raises(BadInputError, match="cannot be written: Permission denied"),
        store.staging(tmp_path / "out"),
    ):
        pass


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EFBIG, "File too large"),
        OSError(errno.EIO, "Input/output error"),
        OSError("8192 requested and 6144 written"),
    ],
)
def test_a_disk_that_takes_no_more_is_a_disk_error(release: Path, error: OSError) -> None:
    before = state(release)
    with pytest.raises(DiskError) as caught, store.staging(release):
        raise error
    assert str(release) in str(caught.value)
    assert state(release) == before


def test_other_errors_are_passed_on_as_they_are(release: Path) -> None:
    with pytest.raises(FileNotFoundError), store.staging(release):
        raise FileNotFoundError(errno.ENOENT, "No such file", "elsewhere")


def test_free_space_is_known_for_folders_that_do_not_exist(tmp_path: Path) -> None:
    assert store.free_bytes(tmp_path / "a/b/c") == pytest.approx(
        shutil.disk_usage(tmp_path).free, rel=0.05
    )


def _fail(folder: Path, failure: BaseException) -> None:
    with store.staging(folder) as staging:
        (staging / "file").write_bytes(b"x")
        raise failure


def _build(model: Path, release: Path) -> "subprocess.Popen[bytes]":
    code = "from whisperopt.cli import main; main()"
    arguments = ["build", str(model), "--no-proof", "--target", "cpu", "--out", str(release)]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _leftovers(release: Path) -> list[str]:
    return [path.name for path in release.glob(".*")]


@pytest.mark.slow
def test_a_build_that_is_killed_leaves_the_old_release(tmp_path: Path) -> None:
    model, release = tmp_path / "small", tmp_path / "release"
    write_huggingface(model)
    assert _build(model, release).wait() == 0
    created = catalogs.read(release).created
    write_huggingface(model, seed=9)  # a build of the same would have nothing to do
    started = time.monotonic()
    assert _build(model, release).wait() == 0
    seconds = time.monotonic() - started
    names = verify(release)
    interrupted = 0
    for moment in range(8):
        write_huggingface(model, seed=moment + 1)
        process = _build(model, release)
        time.sleep(seconds * (0.3 + 0.1 * moment))
        process.kill()
        process.wait()
        interrupted += bool(_leftovers(release))
        store.recover(release)  # as who writes into it does
        assert verify(release) == names
    assert interrupted
    assert _build(model, release).wait() == 0
    assert verify(release) == names
    assert _leftovers(release) == []
    assert catalogs.read(release).created >= created


def test_where_the_cache_takes_no_lock_a_writer_puts_it_beside_the_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(OSError, match="cache"), store.locked(tmp_path / "r", reading=True):
        pass
    assert not (tmp_path / ".r.lock").exists()
    with store.locked(tmp_path / "r"):
        assert (tmp_path / ".r.lock").exists()
