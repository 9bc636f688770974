"""The first opening of an artifact on a host: its own process, a stamp, and reasons."""

import os
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from tests.selection import releases
from tests.sites import Site
from whisperopt import artifact, cache, host, process, registry
from whisperopt.artifact import Artifact
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.process import IMPOSSIBLE, Failure
from whisperopt.reasons import because
from whisperopt.runtime import first_open
from whisperopt.runtime.first_open import FirstOpen


class Session:
    """Counts what it was asked for."""

    steps = 0

    def encode(self, features: Any) -> Self:
        return self

    def hidden_states(self) -> Any:
        return np.zeros((1, 8, 8), np.float32)

    def step(self, ids: Any) -> Any:
        type(self).steps += 1
        return np.zeros((*ids.shape, 8), np.float32)


class Backend:
    """Opens everything, in this process."""

    def open(self, one: Artifact, *, threads: int | None = None) -> Session:
        return Session()


CRASHED = Failure(because("process.crashed", signal="SIGSEGV", last=""))
TOO_OLD = Failure(because("error.text", "The driver is too old", remedy="Update it"), certain=True)


def late(seconds: float) -> Failure:
    return Failure(because("process.too-long", seconds=seconds))


class Child:
    """Stands for the other process: it answers what it was told to, and counts."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, []

    def __call__(self, handler: Any, request: Any, *, limit: float) -> Any:
        self.asked.append((handler, request, limit))
        return self.answer


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "require", lambda _name: Backend())
    monkeypatch.setattr(host, "probe", lambda: releases.host("plain-vm-linux"))
    monkeypatch.setattr(Session, "steps", 0)
    releases.write_artifact(tmp_path / "artifact")
    return artifact.read(tmp_path / "artifact")


def answering(monkeypatch: pytest.MonkeyPatch, answer: Any) -> Child:
    child = Child(answer)
    monkeypatch.setattr(process, "ask", child)
    return child


def test_only_the_first_opening_takes_another_process(
    one: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = answering(monkeypatch, None)
    first_open.open_session(one, threads=3)
    first_open.open_session(one, threads=3)
    assert child.asked == [(first_open.tested, FirstOpen(one.path, 3), 900)]
    assert Session.steps == 0


def test_where_no_other_process_can_be_started_it_is_tested_in_this_one(
    one: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = answering(monkeypatch, IMPOSSIBLE)
    first_open.open_session(one)
    assert Session.steps == 2
    first_open.open_session(one)
    assert (len(child.asked), Session.steps) == (1, 2)


@pytest.mark.parametrize("change", ["files", "host", "place", "libraries", "device"])
def test_what_changed_is_tried_again(
    one: Artifact, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    child = answering(monkeypatch, None)
    first_open.open_session(one)
    match change:
        case "files":
            one.graph("decoder").write_bytes(b"others")
        case "host":
            monkeypatch.setattr(host, "probe", lambda: releases.host("arm-server-linux"))
        case "libraries":
            site = Site(one.path.with_name("site"))
            site.distribution("nvidia-cudnn-cu13", "9.99")
            monkeypatch.syspath_prepend(site.folder)
        case "device":
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        case "place":
            one = Artifact(one.path.rename(one.path.with_name("moved")), one.manifest)
    first_open.open_session(one)
    assert len(child.asked) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (CRASHED, "opening it failed: the runtime aborted"),
        (TOO_OLD, "too old. Update it."),
        (late(900), "opening it failed: it took over 900 s"),
    ],
)
def test_a_failure_is_a_reason_and_leaves_no_stamp(
    one: Artifact, monkeypatch: pytest.MonkeyPatch, answer: Any, reason: str
) -> None:
    answering(monkeypatch, answer)
    with pytest.raises(WhisperoptError) as caught:
        first_open.open_session(one)
    assert reason in str(caught.value)
    child = answering(monkeypatch, None)
    if "900" in reason:
        return
    first_open.open_session(one)
    assert len(child.asked) == 1


def test_a_hang_is_not_sat_through_again_until_a_day_or_more_patience(
    one: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(first_open.LIMIT, "5")
    answering(monkeypatch, late(5))
    with pytest.raises(WhisperoptError, match="it took over 5 s"):
        first_open.open_session(one)
    child = answering(monkeypatch, None)
    with pytest.raises(WhisperoptError, match="within the last day, so it is not tried") as caught:
        first_open.open_session(one)
    assert child.asked == []
    (note,) = (tmp_path / "cache/self-tests").iterdir()
    assert str(note) in caught.value.remedy
    later = time.time() + 2 * 24 * 60 * 60
    monkeypatch.setattr(time, "time", lambda: later)
    first_open.open_session(one)
    assert len(child.asked) == 1


def test_more_patience_tries_a_hang_again(one: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(first_open.LIMIT, "5")
    answering(monkeypatch, late(5))
    with pytest.raises(WhisperoptError):
        first_open.open_session(one)
    monkeypatch.setenv(first_open.LIMIT, "50")
    child = answering(monkeypatch, None)
    first_open.open_session(one)
    assert len(child.asked) == 1


def test_without_a_cache_it_is_tried_every_time(
    one: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("no folder")
    child = answering(monkeypatch, None)
    first_open.open_session(one)
    first_open.open_session(one)
    assert len(child.asked) == 2


def test_the_other_process_says_what_is_wrong(
    one: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_open.tested(FirstOpen(one.path, None))

    def fail(*_: object, **__: object) -> Session:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Backend, "open", fail)
    with pytest.raises(WhisperoptError) as caught:
        first_open.tested(FirstOpen(one.path, None))
    assert caught.value.reason == because("runtime.not-opened", why="RuntimeError: no memory")


def test_a_real_session_passes_in_another_process(
    small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path))
    session = first_open.open_session(small_artifact, threads=1)
    assert session.placement
    assert len(list((tmp_path / "self-tests").iterdir())) == 1


def test_trying_out_opens_nothing_in_this_process_and_counts_as_the_first_opening(
    one: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = answering(monkeypatch, None)
    monkeypatch.setattr(Backend, "open", None)
    first_open.try_out(one)
    first_open.try_out(one)
    assert len(child.asked) == 1


def test_trying_out_says_what_is_wrong(one: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, TOO_OLD)
    with pytest.raises(WhisperoptError, match="too old"):
        first_open.try_out(one)
    answering(monkeypatch, IMPOSSIBLE)
    with pytest.raises(WhisperoptError) as caught:
        first_open.try_out(one)
    assert caught.value.reason == IMPOSSIBLE.reason


class Preparing(Backend):
    """Writes what it prepares, and notes what it was opened from."""

    def __init__(self) -> None:
        self.opened: list[str | None] = []
        self.wrong = False
        self.content = b"compiled"

    def open(self, one: Artifact, *, threads: int | None = None) -> Session:
        if one.prepared is None:
            self.opened.append(None)
        elif list(one.prepared.iterdir()):
            self.opened.append("prepared")
            if self.wrong:
                raise WhisperoptError("what was prepared cannot be used")
        else:
            self.opened.append("new")
            if self.content:
                (one.prepared / "graph.blob").write_bytes(self.content)
        return Session()


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, one: Artifact) -> Preparing:
    monkeypatch.delenv(first_open.KEPT, raising=False)
    answering(monkeypatch, None)
    found = Preparing()
    monkeypatch.setattr(registry, "require", lambda _name: found)
    return found


def kept() -> list[Path]:
    """Return the folders of what is prepared."""
    place = cache.folder("prepared")
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def test_what_the_runtime_prepared_is_checked_once_and_used_from_then_on(
    one: Artifact, backend: Preparing
) -> None:
    for _ in range(3):
        first_open.open_session(one, threads=2)
    assert backend.opened == ["new", "prepared", "prepared"]
    assert Session.steps == 2
    first_open.open_session(one, threads=1)
    assert backend.opened[-1] == "new"


def test_what_does_not_open_as_prepared_is_opened_without_and_tried_again(
    one: Artifact, backend: Preparing
) -> None:
    first_open.open_session(one)
    backend.wrong = True
    first_open.open_session(one)
    backend.wrong = False
    first_open.open_session(one)
    assert backend.opened == ["new", "prepared", None, "prepared"]


def test_what_fails_the_self_test_as_prepared_is_done_without(
    one: Artifact, backend: Preparing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise ArithmeticError("not a number")

    first_open.open_session(one)
    monkeypatch.setattr(Session, "step", wrong)
    first_open.open_session(one)
    first_open.open_session(one)
    assert backend.opened == ["new", "prepared", None, None]
    assert kept() == []


def test_where_nothing_can_be_prepared_it_is_opened_without(
    one: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Full(Preparing):
        def open(self, one: Artifact, *, threads: int | None = None) -> Session:
            made = super().open(one, threads=threads)
            if one.prepared:
                raise OSError("No space left on device")
            return made

    answering(monkeypatch, None)
    backend = Full()
    monkeypatch.setattr(registry, "require", lambda _name: backend)
    assert isinstance(first_open.open_session(one), Session)
    assert backend.opened == ["new", None]
    assert list((tmp_path / "cache" / "prepared").iterdir()) == []


def damage(folder: Path, how: str) -> None:
    blob, note = folder / "graph.blob", folder.with_name(f"{folder.name}.json")
    match how:
        case "one byte, dated back":
            facts = blob.stat()
            blob.write_bytes(b"Compiled")
            os.utime(blob, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        case "cut":
            blob.write_bytes(b"comp")
        case "gone":
            blob.unlink()
        case "another file":
            (folder / "two.blob").write_bytes(b"?")
        case "no note":
            note.unlink()
        case "note of garbage":
            note.write_bytes(b"\xff{")


@pytest.mark.parametrize(
    "how",
    ["one byte, dated back", "cut", "gone", "another file", "no note", "note of garbage"],
)
def test_what_is_not_as_it_was_left_is_prepared_again(
    one: Artifact, backend: Preparing, how: str
) -> None:
    first_open.open_session(one)
    (folder,) = kept()
    damage(folder, how)
    first_open.open_session(one)
    assert backend.opened == ["new", "new"]
    assert [path.name for path in folder.iterdir()] == ["graph.blob"]
    assert (folder / "graph.blob").read_bytes() == b"compiled"


def test_a_runtime_that_prepares_nothing_leaves_nothing(one: Artifact, backend: Preparing) -> None:
    backend.content = b""
    first_open.open_session(one)
    assert list(cache.folder("prepared").iterdir()) == []


def test_of_two_at_once_the_first_is_kept(
    one: Artifact, backend: Preparing, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Preparing):
        def open(self, one: Artifact, *, threads: int | None = None) -> Session:
            made = super().open(one, threads=threads)
            monkeypatch.setattr(registry, "require", lambda _name: backend)
            first_open.open_session(artifact.read(one.path))
            return made

    slow = Slow()
    slow.content = b"slow"
    monkeypatch.setattr(registry, "require", lambda _name: slow)
    first_open.open_session(one)
    (folder,) = kept()
    assert (folder / "graph.blob").read_bytes() == b"compiled"
    first_open.open_session(one)
    assert (slow.opened, backend.opened) == (["new"], ["new", "prepared"])


def test_the_least_recently_used_give_way(
    one: Artifact, backend: Preparing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(first_open.KEPT, "1")
    backend.content = b"x" * 400_000
    for threads in (1, 2):
        first_open.open_session(one, threads=threads)
    for path in kept():
        os.utime(path, (time.time() - (100 if path.name.endswith("-1") else 50),) * 2)
    first_open.open_session(one, threads=1)
    first_open.open_session(one, threads=3)
    assert [path.name[-2:] for path in kept()] == ["-1", "-3"]
    first_open.open_session(one, threads=2)
    assert backend.opened == ["new", "new", "prepared", "new", "new"]


def test_what_is_larger_than_the_limit_is_noted_and_not_made_again(
    one: Artifact, backend: Preparing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(first_open.KEPT, "1")
    backend.content = b"x" * 2_000_000
    first_open.open_session(one)
    first_open.open_session(one)
    assert (backend.opened, kept()) == (["new", None], [])
    monkeypatch.setenv(first_open.KEPT, "3")  # with more room it is made
    first_open.open_session(one)
    assert backend.opened == ["new", None, "new"]


def test_a_limit_of_zero_keeps_nothing(
    one: Artifact, backend: Preparing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(first_open.KEPT, "0")
    first_open.open_session(one)
    assert (backend.opened, kept()) == ([None], [])


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_limit_that_is_none_is_named(
    one: Artifact, backend: Preparing, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(first_open.KEPT, text)
    with pytest.raises(BadInputError, match=f"WHISPEROPT_PREPARED_MB is '{text}'"):
        first_open.open_session(one)
    assert backend.opened == []


def test_a_cache_that_takes_nothing_prepared_is_no_error(
    one: Artifact, backend: Preparing
) -> None:
    cache.home().mkdir()
    cache.folder("prepared").write_text("a file where the folder should be")
    first_open.open_session(one)
    assert backend.opened == [None]
