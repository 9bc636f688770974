"""Small notes in the cache: what is there, what is whole, what tells one key from another."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from whisperopt import cache
from whisperopt.cache import Stamp
from whisperopt.reasons import Reason


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_note_comes_back_and_others_do_not() -> None:
    cache.keep("choices", "a", {"x": 1})
    assert cache.recall("choices", "a", dict[str, int]) == {"x": 1}
    assert cache.recall("choices", "b", dict[str, int]) is None
    assert cache.recall("races", "a", dict[str, int]) is None


@pytest.mark.parametrize("damage", [b"", b"{", b'{"x": "words"}', b"\xff\xfe"])
def test_a_damaged_note_counts_as_none(own: Path, damage: bytes) -> None:
    cache.keep("choices", "a", {"x": 1})
    (own / "choices" / "a.json").write_bytes(damage)
    assert cache.recall("choices", "a", dict[str, int]) is None


def test_notes_that_nobody_asked_for_in_a_month_go(own: Path) -> None:
    cache.keep("choices", "old", 1)
    cache.keep("choices", "used", 2)
    long_ago = time.time() - 40 * 24 * 3600
    for name in ("old", "used"):
        os.utime(own / "choices" / f"{name}.json", (long_ago, long_ago))
    assert cache.recall("choices", "used", int) == 2
    cache.keep("choices", "new", 3)
    assert cache.recall("choices", "old", int) is None
    assert cache.recall("choices", "used", int) == 2


def test_a_disk_that_takes_no_notes_is_no_error(own: Path) -> None:
    own.write_text("a file where the folder should be")
    cache.keep("choices", "a", 1)
    assert cache.recall("choices", "a", int) is None


def test_a_note_that_cannot_be_marked_as_used_is_still_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("it belongs to somebody else")

    cache.keep("choices", "a", 1)
    monkeypatch.setattr(os, "utime", refuse)
    assert cache.recall("choices", "a", int) == 1


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


def test_what_was_never_finished_goes_after_a_day(own: Path) -> None:
    with cache.new_folder("prepared") as left:
        pass
    left.mkdir()
    os.utime(left, (time.time() - 2 * 24 * 3600,) * 2)
    cache.evict("prepared")
    assert not left.exists()


def test_what_only_the_user_removes_stays(own: Path) -> None:
    path = cache.write("tuned", "a", 1)
    long_ago = time.time() - 400 * 24 * 3600
    os.utime(path, (long_ago, long_ago))
    cache.write("tuned", "b", 2)
    assert path.exists()


def test_a_kind_that_is_not_in_the_table_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="things"):
        cache.folder("things")


def test_without_a_home_nothing_is_kept_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(_: str) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv(cache.HOME)
    monkeypatch.setattr("platformdirs.user_cache_path", no_home)
    reason = cache.home()
    assert isinstance(reason, Reason)
    assert reason.code == "cache.off"
    cache.keep("choices", "a", 1)
    cache.evict("choices")
    assert cache.recall("choices", "a", int) is None
    assert not cache.folder("artifacts").is_dir()
    with pytest.raises(OSError, match="choices"):
        cache.write("choices", "a", 1)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "some_package"
    (folder / "inner").mkdir(parents=True)
    for name in ("__init__.py", "inner/__init__.py", "recipes.py", "table.toml"):
        (folder / name).write_text("# nothing yet\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def code_key(name: str = "some_package") -> str | None:
    cache.code_key.cache_clear()
    return cache.code_key(name)


@pytest.mark.parametrize("name", ["__init__.py", "inner/__init__.py", "table.toml"])
def test_every_source_counts(package: Path, name: str) -> None:
    before = code_key()
    (package / name).write_text("# something\n")
    assert code_key() != before


def test_files_of_values_and_files_that_are_no_code_do_not(package: Path) -> None:
    before = code_key()
    (package / "recipes.py").write_text("RECIPES = (1,)\n")
    (package / "README.md").write_text("words\n")
    assert code_key() == before


def test_a_new_module_counts(package: Path) -> None:
    before = code_key()
    (package / "more.py").write_text("")
    assert code_key() != before


def test_what_has_no_file_has_no_code_key() -> None:
    assert code_key("no_such_module_anywhere") is None
    assert code_key("sys") is None
