"""A release is old or new, never mixed, whoever dies when."""

import os
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
from tests.release.small import NEW, OLD, fill, state, verify
from tests.selection.releases import MODEL
from whisperopt import locks
from whisperopt.errors import BadInputError
from whisperopt.release import catalog as catalogs
from whisperopt.release import store

MOMENTS = 8
"""At which a build is killed, spread over the time that it takes."""


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


def test_only_what_nobody_can_still_need_is_swept(release: Path) -> None:
    folders = {
        "held by nobody": f".staging-{'a' * 32}",
        "held": f".staging-{'b' * 32}",
        "held, old": f".staging-{'c' * 32}",
        "not held yet": f".staging-new-{'d' * 32}",
        "never held, old": f".staging-new-{'e' * 32}",
        "an older version's": ".staging-0badcafe-1-abc",
        "an older version's, old": ".staging-0badcafe-2-abc",
    }
    for name in folders.values():
        (release / name / "deep").mkdir(parents=True)
    held = [locks.take(release / folders[what]) for what in ("held", "held, old")]
    for what, name in folders.items():
        if what.endswith("old"):
            os.utime(release / name, (1, 1))
    with store.staging(release):
        pass
    kept = [what for what, name in folders.items() if (release / name).exists()]
    assert kept == ["held", "held, old", "not held yet", "an older version's"]
    for descriptor in held:
        assert descriptor is not None
        os.close(descriptor)


def test_where_locks_lie_only_age_tells(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, old = release / f".staging-{'a' * 32}", release / f".staging-{'b' * 32}"
    for folder in (fresh, old):
        folder.mkdir()
    os.utime(old, (1, 1))
    monkeypatch.setattr(locks, "lock", lambda _: True)
    with store.staging(release):
        pass
    assert fresh.exists()
    assert not old.exists()


def test_a_link_in_place_of_a_folder_to_sweep_is_not_followed(
    release: Path, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_bytes(b"mine")
    (release / f".staging-{'a' * 32}").symlink_to(tmp_path / "home")
    store.sweep(release)
    assert (tmp_path / "home" / "thesis.txt").read_bytes() == b"mine"


def test_a_folder_in_use_outlives_others_who_sweep(release: Path) -> None:
    with store.new_folder(release) as mine:
        (mine / "file").write_bytes(b"x")
        with store.new_folder(release) as other:
            assert other.is_dir()
        assert (mine / "file").exists()
    assert not mine.exists()


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


def _killed(
    model: Path, release: Path, moment: Callable[["subprocess.Popen[bytes]"], None]
) -> bool:
    """Kill a build at a `moment`; return whether it left something, which is swept then."""
    process = _build(model, release)
    moment(process)
    process.kill()
    process.wait()
    left = bool(_leftovers(release))
    store.recover(release)  # as who writes into it does
    return left


def test_a_build_that_is_killed_as_soon_as_it_writes_leaves_the_old_release(
    tmp_path: Path,
) -> None:
    model, release = tmp_path / "small", tmp_path / "release"
    write_huggingface(model)
    assert _build(model, release).wait() == 0
    created, names = catalogs.read(release).created, verify(release)

    def it_writes(process: "subprocess.Popen[bytes]") -> None:
        while not _leftovers(release):
            assert process.poll() is None
            time.sleep(0.005)

    write_huggingface(model, seed=1)  # a build of the same would have nothing to do
    assert _killed(model, release, it_writes)
    assert verify(release) == names
    assert _build(model, release).wait() == 0
    assert verify(release) == names
    assert _leftovers(release) == []
    assert catalogs.read(release).created >= created


@pytest.mark.soak
def test_a_build_that_is_killed_at_any_moment_leaves_the_old_release(tmp_path: Path) -> None:
    model, release = tmp_path / "small", tmp_path / "release"
    write_huggingface(model)
    assert _build(model, release).wait() == 0
    created = catalogs.read(release).created
    write_huggingface(model, seed=9)
    started = time.monotonic()
    assert _build(model, release).wait() == 0
    seconds = time.monotonic() - started
    names = verify(release)
    interrupted = 0
    for moment in range(MOMENTS):
        write_huggingface(model, seed=moment + 1)
        share = 0.3 + 0.8 * moment / MOMENTS
        interrupted += _killed(model, release, lambda _, after=seconds * share: time.sleep(after))
        assert verify(release) == names
    assert interrupted
    assert _build(model, release).wait() == 0
    assert verify(release) == names
    assert _leftovers(release) == []
    assert catalogs.read(release).created >= created
