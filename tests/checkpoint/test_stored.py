"""Weight files: parts, views, kinds of numbers."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.makers import write_huggingface
from whisperopt import cache
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.checkpoint.stored import Stored, WeightFile
from whisperopt.errors import BadInputError

CONTENT = bytes(range(40))


def cut(folder: Path, *places: int) -> WeightFile:
    """Write CONTENT in parts that end at `places`."""
    ends = [*sorted(places), len(CONTENT)]
    paths = []
    for start, end in zip([0, *ends], ends, strict=False):
        paths.append(folder / f"part-{start}-{end}")
        paths[-1].write_bytes(CONTENT[start:end])
    return WeightFile(*paths)


@given(place=st.integers(1, 39), start=st.integers(0, 40), size=st.integers(0, 40))
def test_parts_read_like_one_file(
    tmp_path_factory: pytest.TempPathFactory, place: int, start: int, size: int
) -> None:
    file = cut(tmp_path_factory.mktemp("parts"), place)
    assert file.size == len(CONTENT)
    if start + size > len(CONTENT):
        with pytest.raises(BadInputError, match="ends at byte 40"):
            file.bytes(start, size)
    else:
        assert file.bytes(start, size).tobytes() == CONTENT[start : start + size]


def test_three_parts_may_hold_one_tensor(tmp_path: Path) -> None:
    file = cut(tmp_path, 10, 20)
    numbers = Stored(file, 8, "float32", (4,)).read()
    assert numbers.tolist() == np.frombuffer(CONTENT[8:24], "<f4").tolist()


def test_digest_is_that_of_the_joined_file(tmp_path: Path) -> None:
    digest = hashlib.sha256()
    cut(tmp_path, 7, 30).add_to(digest)
    assert digest.hexdigest() == hashlib.sha256(CONTENT).hexdigest()


def test_aligned_float32_is_a_view_and_cannot_be_written(tmp_path: Path) -> None:
    file = cut(tmp_path)
    numbers = Stored(file, 4, "float32", (2, 2)).read()
    assert numbers.base is not None
    with pytest.raises(ValueError, match="read-only"):
        numbers[0, 0] = 1.0


def test_unaligned_float32_is_copied(tmp_path: Path) -> None:
    numbers = Stored(cut(tmp_path), 1, "float32", (2,)).read()
    assert numbers.flags.aligned
    assert numbers.tobytes() == CONTENT[1:9]


def test_rows_are_a_part_of_the_bytes(tmp_path: Path) -> None:
    whole = Stored(cut(tmp_path), 4, "float16", (3, 4))
    np.testing.assert_array_equal(whole.rows(1, 3).read(), whole.read()[1:3])


def test_missing_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"none\.bin are missing"):
        WeightFile(tmp_path / "none.bin")
    (tmp_path / "empty.bin").touch()
    with pytest.raises(BadInputError, match=r"empty\.bin are empty"):
        WeightFile(tmp_path / "empty.bin")
    with pytest.raises(BadInputError, match="cannot be opened"):
        WeightFile(tmp_path)


def test_git_lfs_pointer_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(BadInputError, match="git lfs pull"):
        WeightFile(tmp_path / "w")


def test_a_digest_is_kept_once_a_later_change_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "small"
    write_huggingface(model)
    monkeypatch.setattr(cache, "_SETTLED_NS", 10**18)
    digest = open_checkpoint(model).digest()
    assert not list(cache.folder("digests").glob("*.json"))
    monkeypatch.setattr(cache, "_SETTLED_NS", -(10**18))
    assert open_checkpoint(model).digest() == digest
    assert len(list(cache.folder("digests").glob("*.json"))) == 1
