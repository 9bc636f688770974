"""What is foreign is read through one door: a plain file within bounds, and then a value."""

import contextlib
import os
import zipfile  # noqa: TID251  # to make what must not be unpacked
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperopt import documents
from whisperopt.documents import Bounds, UnfitError

SMALL = Bounds(1_000, depth=4)


class Form(msgspec.Struct):
    count: int = 0


def code(data: bytes) -> str:
    """Return why a text is refused."""
    with pytest.raises(UnfitError) as caught:
        documents.decoded(data, object, SMALL)
    return caught.value.reason.code.removeprefix("document.")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b" " * 1_001, "large"),
        (b"\xef\xbb\xbf{}", "mark"),
        ("{}".encode("utf-16"), "utf-8"),
        (b'{"a": "\xff"}', "utf-8"),
        (b'{"a": ' + b"9" * 100 + b"}", "number"),
        (b"[[[[[]]]]]", "nested"),
        (b"[" * 500, "nested"),
        (b'{"a": {"a": {"a": {"a": {}}}}}', "nested"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"b": [{"a": 1, "\\u0061": 2}]}', "twice"),
        (b'{"a": 1', "odd"),
        (b"", "odd"),
        (b"NaN", "odd"),
    ],
)
def test_what_readers_may_take_in_two_ways_is_refused(data: bytes, why: str) -> None:
    assert code(data) == why


@pytest.mark.parametrize(
    "data",
    [b'"[[[[[[[["', b'{"a\\"[[[[[[": "}}}}}"}', b"[[[[]]]]", b'{"a": "' + b"9" * 100 + b'"}'],
)
def test_what_texts_hold_does_not_count(data: bytes) -> None:
    documents.decoded(data, object, SMALL)


def test_a_key_that_does_not_fit_is_named() -> None:
    with pytest.raises(UnfitError, match=r"\$\.count"):
        documents.decoded(b'{"count": "many"}', Form, SMALL)


@pytest.mark.fuzz
@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:\\1a', max_size=200).map(str.encode))
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    with contextlib.suppress(UnfitError):
        documents.decoded(data, object, SMALL)


@pytest.mark.parametrize("text", [b'"\\' * 100_000, b'"' + b"a" * 200_000, b"[" * 200_000])
def test_the_time_that_a_check_takes_grows_with_the_text_alone(text: bytes) -> None:
    with pytest.raises(UnfitError):  # this would take minutes otherwise
        documents.check(text, Bounds(1_000_000))


def refused(path: Path, *, links: bool = True) -> str:
    """Return why a file is not read."""
    with pytest.raises(UnfitError) as caught:
        documents.content(path, SMALL, links=links)
    return caught.value.reason.code.removeprefix("document.")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe") == "no-file"


def test_a_device_is_not_read() -> None:
    assert refused(Path("/dev/zero")) == "no-file"


def test_a_name_that_is_none_is_refused() -> None:
    assert refused(Path("a\0b")) == "name"


def test_a_large_file_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    assert refused(tmp_path / "large") == "large"


def test_a_link_is_followed_only_where_one_may_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert documents.content(tmp_path / "b", SMALL) == b"1"
    assert refused(tmp_path / "b", links=False) == "link"


def test_what_is_not_there_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        documents.content(tmp_path / "gone", SMALL)
    with pytest.raises(IsADirectoryError):
        documents.content(tmp_path, SMALL)


def test_arrays_that_fit_are_no_matter(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(1000), b=np.ones(3))
    documents.check_arrays(tmp_path / "a.npz")


def test_an_array_that_unpacks_to_more_than_memory_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.npy", bytes(documents.ARRAY.size + 1))
    with pytest.raises(UnfitError, match="unpacks to more"):
        documents.check_arrays(tmp_path / "bomb.npz")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04" * 100)
    with pytest.raises(UnfitError):
        documents.check_arrays(tmp_path / "a.npz")
