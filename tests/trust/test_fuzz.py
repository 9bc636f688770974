"""Whatever a server says in place of metadata, a client refuses it in one sentence."""

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.trust.rig import Shop
from whisperopt.errors import IntegrityError
from whisperopt.reasons import because
from whisperopt.trust import roots, updating

_NUMBER = itertools.count()
_NAMES = ("2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


class Answers:
    """A source that has nothing but these files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def where(self, path: str) -> str:
        return path

    def chunks(self, path: str, size: int | None = None) -> Iterator[bytes]:
        if path not in self.files:
            raise IntegrityError(because("download.404", path))
        yield self.files[path]


@pytest.fixture(scope="module")
def files(made_keys: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A whole repository, with a second root."""
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(made_keys, folder / "keys")
    shop = Shop(folder / "repo", folder / "keys")
    roots.renew(shop.keys)
    shop.publish(b"one")
    found = [path for path in shop.root.rglob("*") if path.is_file()]
    return {path.relative_to(shop.root).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states")


def refused(files: dict[str, bytes], place: Path, name: str, data: bytes) -> None:
    """Read what is as it should be but for one file, which makes no difference or is refused."""
    given = files | {f"metadata/{name}": data}
    state = place / str(next(_NUMBER))
    told = ""
    try:
        assert updating.update(Answers(given), files["metadata/1.root.json"], state) == b"one"
    except IntegrityError as error:
        told = str(error)
    finally:
        shutil.rmtree(state)
    assert len(told) < 1000


def test_the_repository_that_is_changed_is_sound(files: dict[str, bytes], place: Path) -> None:
    assert updating.update(Answers(files), files["metadata/1.root.json"], place / "s") == b"one"


@given(name=st.sampled_from(_NAMES), data=st.binary(max_size=200) | _JSON.map(json.dumps))
@example(name="timestamp.json", data=b"[" * 10_000)
@example(name="2.root.json", data=b'{"signed": ' * 9_000)
@example(name="2.root.json", data=b"1" * 90_000)
@example(name="timestamp.json", data=b"\xef\xbb\xbf{}")
def test_any_bytes(files: dict[str, bytes], place: Path, name: str, data: bytes | str) -> None:
    refused(files, place, name, data.encode() if isinstance(data, str) else data)


def places(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(document, dict):
        for key in document:
            yield from places(document[key], (*at, key))
    elif isinstance(document, list):
        for index, inner in enumerate(document):
            yield from places(inner, (*at, index))


@given(name=st.sampled_from(_NAMES), value=_JSON, data=st.data())
def test_any_value_in_any_place(
    files: dict[str, bytes], place: Path, name: str, value: Any, data: st.DataObject
) -> None:
    changed(files, place, name, value, data)


@pytest.mark.soak
@settings(max_examples=5_000)
@given(name=st.sampled_from(_NAMES), value=_JSON, data=st.data())
def test_any_value_in_any_place_for_long(
    files: dict[str, bytes], place: Path, name: str, value: Any, data: st.DataObject
) -> None:
    changed(files, place, name, value, data)


def changed(
    files: dict[str, bytes], place: Path, name: str, value: Any, data: st.DataObject
) -> None:
    """Put `value` somewhere into a document."""
    document = json.loads(files[f"metadata/{name}"])
    at = data.draw(st.sampled_from([*places(document)][1:]))
    inner = document
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = value
    refused(files, place, name, json.dumps(document).encode())
