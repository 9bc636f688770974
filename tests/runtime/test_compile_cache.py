"""What a runtime prepared is used again as it was left, and never otherwise."""

import contextlib
import os
import time
from pathlib import Path

import pytest

from whisperopt.errors import BadInputError
from whisperopt.runtime import compile_cache

KEY = "0123-2"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path))
    monkeypatch.delenv(compile_cache.LIMIT, raising=False)
    return tmp_path / "prepared"


def fill(key: str = KEY, size: int = 4) -> Path:
    with compile_cache.new(key) as folder:
        assert folder
        (folder / "one.blob").write_bytes(b"x" * size)
    return folder.with_name(key)


def test_what_was_prepared_is_found_but_not_yet_trusted(root: Path) -> None:
    assert compile_cache.find(KEY) is None
    path = fill()
    found = compile_cache.find(KEY)
    assert found
    assert found[0] == path
    assert (found[1].checked, found[1].refused) == (False, False)
    compile_cache.judge(found, fit=True)
    again = compile_cache.find(KEY)
    assert again
    assert again[1].checked


def damage(path: Path, how: str) -> None:
    blob = path / "one.blob"
    match how:
        case "one byte, dated back":
            facts = blob.stat()
            blob.write_bytes(b"xxxy")
            os.utime(blob, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        case "cut":
            blob.write_bytes(b"xx")
        case "gone":
            blob.unlink()
        case "another file":
            (path / "two.blob").write_bytes(b"?")
        case "no note":
            (path / "entry.json").unlink()
        case "note of garbage":
            (path / "entry.json").write_bytes(b"\xff{")


@pytest.mark.parametrize(
    "how",
    ["one byte, dated back", "cut", "gone", "another file", "no note", "note of garbage"],
)
def test_what_is_not_as_it_was_left_is_removed(root: Path, how: str) -> None:
    path = fill()
    damage(path, how)
    assert compile_cache.find(KEY) is None
    assert not path.exists()
    assert fill() == path


def test_nothing_is_kept_of_what_fails_or_leaves_nothing(root: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), compile_cache.new(KEY) as folder:
        assert folder
        (folder / "half.blob").write_bytes(b"x")
        raise ZeroDivisionError
    with compile_cache.new(KEY) as folder:
        assert folder
    assert list(root.iterdir()) == []


def test_of_two_at_once_the_first_is_kept(root: Path) -> None:
    with compile_cache.new(KEY) as slow:
        assert slow
        (slow / "one.blob").write_bytes(b"slow")
        path = fill()
    assert (path / "one.blob").read_bytes() == b"xxxx"
    assert list(root.iterdir()) == [path]


def test_a_note_half_written_is_no_damage(root: Path) -> None:
    path = fill()
    (path / "entry.json.new").write_bytes(b"{")
    assert compile_cache.find(KEY)


def test_what_failed_is_remembered_without_its_files(root: Path) -> None:
    path = fill()
    found = compile_cache.find(KEY)
    assert found
    compile_cache.judge(found, fit=False)
    again = compile_cache.find(KEY)
    assert again
    assert again[1].refused
    assert [file.name for file in path.iterdir()] == ["entry.json"]


def test_the_least_recently_used_give_way(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compile_cache.LIMIT, "1")
    for age, key in enumerate(("a", "b")):
        path = fill(key, 400_000)
        os.utime(path, (time.time() - 100 + age,) * 2)
    compile_cache.find("a")
    fill("c", 400_000)
    assert {path.name for path in root.iterdir()} == {"a", "c"}


def test_what_is_larger_than_the_limit_is_noted_and_not_made_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(compile_cache.LIMIT, "1")
    other = fill("other", 400_000)
    with compile_cache.new("huge") as folder:
        assert folder
        (folder / "inner").mkdir()
        (folder / "inner" / "one.blob").write_bytes(b"x" * 2_000_000)
    found = compile_cache.find("huge")
    assert found
    assert found[1].refused
    assert [file.name for file in found[0].iterdir()] == ["entry.json"]
    assert other.is_dir()
    monkeypatch.setenv(compile_cache.LIMIT, "3")
    assert compile_cache.find("huge") is None  # with more room it is made


def test_a_limit_of_zero_keeps_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill()
    monkeypatch.setenv(compile_cache.LIMIT, "0")
    assert compile_cache.find(KEY) is None
    with compile_cache.new("other") as folder:
        assert folder is None


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_limit_that_is_none_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(compile_cache.LIMIT, text)
    fill_fails = pytest.raises(BadInputError, match=f"WHISPEROPT_PREPARED_MB is '{text}'")
    with fill_fails, compile_cache.new(KEY):
        pass


def test_a_cache_that_takes_nothing_is_no_error(root: Path) -> None:
    root.write_text("a file where the folder should be")
    with compile_cache.new(KEY) as folder:
        assert folder is None
    assert compile_cache.find(KEY) is None
