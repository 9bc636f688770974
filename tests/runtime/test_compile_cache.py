"""What a runtime compiled is checked once, kept, and used from then on."""

import os
import time
from pathlib import Path

import pytest

from tests.runtime.opening import Backend, Session, answering
from whisperopt import artifact, cache, registry
from whisperopt.artifact import Artifact
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.runtime import first_open


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
