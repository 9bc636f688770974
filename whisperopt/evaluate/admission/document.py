"""Reads a file of evidence that may hold anything: nothing of it is believed, only parsed."""

import json
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from whisperopt.errors import BadInputError
from whisperopt.evaluate.evidence import SCHEMA, Evidence
from whisperopt.reasons import HOLDS_TEXT, escaped, places_of_control, quoted

MAX_BYTES = 10_000_000
"""Some hundred times what 75 clips take."""
MAX_ENTRIES = 11_000
"""Most entries of any list or table: a manifest has at most 10,000 clips."""
MAX_TEXT = 20_000
"""Most characters of any text; the longest that Whisper can write to one clip is shorter."""
_REMEDY = "Import a file as `whisperopt validate` writes it"


def parse(path: Path) -> Evidence:
    """Read evidence of today's schema; anything else is a BadInputError that names the place."""
    data = _bytes(path)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"{path} is not UTF-8 text: byte {error.start} cannot be read", _REMEDY
        ) from None
    try:
        _check_schema(path, msgspec.json.decode(data, type=_Schema).schema)
        evidence = msgspec.json.decode(data, type=Evidence)
        raw = json.loads(data, object_pairs_hook=_without_twins)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadInputError(f"{path} is not evidence: {escaped(str(error))}", _REMEDY) from None
    if problem := next(_excesses(raw), None):
        raise BadInputError(f"{path}: {problem}", _REMEDY)
    if place := next(places_of_control(raw), None):
        raise BadInputError(f"{path}: {escaped(place)} holds a control character", _REMEDY)
    return evidence


class _Schema(msgspec.Struct):
    schema: str


def _bytes(path: Path) -> bytes:
    """Read a plain file of bounded size; devices and pipes, which may never end, are not opened."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise BadInputError(f"{path} is a folder", "Give the file of evidence itself")
        if not stat.S_ISREG(kind):
            raise BadInputError(f"{path} is not a plain file", "Give the file of evidence itself")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInputError(f"Cannot read {path}: {error.strerror}", "Check the path") from None
    if len(data) > MAX_BYTES:
        raise BadInputError(
            f"{path} is larger than {MAX_BYTES / 1e6:g} MB, which no evidence is", _REMEDY
        )
    return data


def _check_schema(path: Path, schema: str) -> None:
    if schema == SCHEMA:
        return
    raise BadInputError(
        f"{path} has schema {quoted(schema)}, this whisperopt reads {SCHEMA!r}",
        "Run `whisperopt validate` there with the version of whisperopt that is used here",
    )


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a key that is there twice: readers differ in which of the two counts."""
    table = dict(pairs)
    if len(table) < len(pairs):
        ((twin, _),) = Counter(key for key, _ in pairs).most_common(1)
        msg = f"the key {quoted(twin)} is there twice"
        raise ValueError(msg)
    return table


def _excesses(value: object, place: str = "") -> Iterator[str]:
    """Yield what is longer than anything honest."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            yield f"{place} has more than {MAX_TEXT:,} characters"
    elif isinstance(value, dict | list):
        if len(value) > MAX_ENTRIES:
            yield f"{place} has {len(value):,} entries, more than {MAX_ENTRIES:,}"
            return
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(inner, HOLDS_TEXT):
                yield from _excesses(inner, _inside(place, key))


def _inside(place: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{place}[{key}]"
    return f"{place}.{escaped(key)}" if place else escaped(key)
