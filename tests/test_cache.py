"""Small notes in the cache: what is there, what is whole, what tells one key from another."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from whisperopt import cache
from whisperopt.cache import Stamp


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_note_comes_back_and_others_do_not() -> None:
    cache.keep("things", "a", {"x": 1})
    assert cache.recall("things", "a", dict[str, int]) == {"x": 1}
    assert cache.recall("things", "b", dict[str, int]) is None
    assert cache.recall("others", "a", dict[str, int]) is None


@pytest.mark.parametrize("damage", [b"", b"{", b'{"x": "words"}', b"\xff\xfe"])
def test_a_damaged_note_counts_as_none(own: Path, damage: bytes) -> None:
    cache.keep("things", "a", {"x": 1})
    (own / "things" / "a.json").write_bytes(damage)
    assert cache.recall("things", "a", dict[str, int]) is None


def test_notes_that_nobody_asked_for_in_a_month_go(own: Path) -> None:
    cache.keep("things", "old", 1)
    cache.keep("things", "used", 2)
    long_ago = time.time() - 40 * 24 * 3600
    for name in ("old", "used"):
        os.utime(own / "things" / f"{name}.json", (long_ago, long_ago))
    assert cache.recall("things", "used", int) == 2
    cache.keep("things", "new", 3)
    assert cache.recall("things", "old", int) is None
    assert cache.recall("things", "used", int) == 2


def test_a_disk_that_takes_no_notes_is_no_error(own: Path) -> None:
    own.write_text("a file where the folder should be")
    cache.keep("things", "a", 1)
    assert cache.recall("things", "a", int) is None


def test_a_note_that_cannot_be_marked_as_used_is_still_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("it belongs to somebody else")

    cache.keep("things", "a", 1)
    monkeypatch.setattr(os, "utime", refuse)
    assert cache.recall("things", "a", int) == 1


def test_keys_tell_values_types_and_arrays_apart() -> None:
    facts = [1, "1", [1], {"a": 1, "b": 2}, np.zeros(2), np.zeros(2, np.float32), np.zeros((2, 1))]
    assert len({cache.key(fact) for fact in facts}) == len(facts)
    assert cache.key({"b": 2, "a": 1}) == cache.key({"a": 1, "b": 2})
    with pytest.raises(TypeError, match="function has no digest"):
        cache.key(lambda: 1)


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    time.sleep(0.2)
    assert Stamp.of(path).settled
    found = cache.sha256(path)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was read again"))
    assert cache.sha256(path) == found


@pytest.mark.skipif(sys.platform == "win32", reason="Windows notes no changes of times")
def test_another_content_with_the_old_time_is_another_stamp(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    os.utime(path, ns=(10**18, 10**18))
    stamp = Stamp.of(path)
    assert not stamp.settled
    time.sleep(0.2)
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(10**18, 10**18))
    assert Stamp.of(path).changed_ns == stamp.changed_ns
    assert Stamp.of(path) != stamp


def test_a_file_that_was_only_just_written_is_not_trusted_to_stay(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    stamp = Stamp.of(path)
    first = cache.sha256(path)
    path.write_bytes(b"CONTENT")  # of the same size, perhaps within the same tick of the clock
    os.utime(path, ns=(stamp.changed_ns, stamp.changed_ns))
    assert cache.sha256(path) != first
