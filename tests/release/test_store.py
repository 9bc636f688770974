"""A release is whole at every moment, whoever dies when."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.release.small import NEW, OLD, fill, state, verify
from tests.selection.releases import MODEL
from whisperopt.errors import BadInputError, DiskError
from whisperopt.release import catalog as catalogs
from whisperopt.release import store


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
