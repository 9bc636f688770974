"""The one way in which a document from outside is read: a plain file within bounds, then a value."""

import json
import os
import re
import stat
import tomllib
from collections import Counter
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from whisperopt.reasons import Reason, Value, because, quoted

Form = TypeVar("Form")


class Bounds(msgspec.Struct, frozen=True):
    """How large a document of one kind may be, and how deep its lists and tables may nest."""

    size: int
    """Bytes; some ten times what the largest that is known of takes."""
    depth: int = 32


CATALOG = Bounds(5_000_000)
MANIFEST = Bounds(1_000_000)
REPORT = Bounds(50_000_000)
EVIDENCE = Bounds(10_000_000)
ANSWERS = Bounds(100_000_000)
SELF_TEST = Bounds(4_000_000)
SETTINGS = Bounds(4_000_000)
"""Of a checkpoint or of another runtime: `config.json` and the like."""
TOKENIZER = Bounds(40_000_000)
WEIGHT_INDEX = Bounds(16_000_000)
INDEX = Bounds(5_000_000)
"""`repository.json`, and what signs it."""
IMAGE = Bounds(1 << 22)
"""A manifest in a registry."""
OVERLAY = Bounds(1_000_000)
LOCK = Bounds(1_000_000)
CREDENTIALS = Bounds(1_000_000)
HOST = Bounds(1_000_000)
MATRIX = Bounds(1_000_000)
CLIPS = Bounds(10_000_000)
NOTE = Bounds(1 << 30)
ARRAY = Bounds(1 << 26)
"""One array of those that NumPy packed: the core model's answer to a clip takes half a megabyte."""

_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_ABSURD = re.compile(rb"\d{100}")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_LONGEST_WHY = 300


class UnfitError(ValueError):
    """A document that cannot be used; its sentence, without the document's name, is `reason`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


def content(path: Path, bounds: Bounds, *, links: bool = True) -> bytes:
    """Return the bytes of a plain file within `bounds`.

    Pipes and devices, which may never end, are not waited for; without `links` neither is a link
    followed. Raises `UnfitError` and, where nothing can be opened, `OSError`.
    """
    try:
        with FileIO(path, "rb", opener=_plain if links else _unlinked) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise _unfit("no-file")
            data: bytes = file.read(min(found.st_size, bounds.size) + 1)
    except (ValueError, RecursionError) as error:  # a NUL in its name, for one
        raise error if isinstance(error, UnfitError) else _unfit("name") from None
    if len(data) > bounds.size:
        raise _unfit("large", most=bounds.size)
    return data


def read(path: Path, form: type[Form], bounds: Bounds, *, links: bool = True) -> Form:
    """Return the JSON document `path` as a value: see `content` and `decoded`."""
    return decoded(content(path, bounds, links=links), form, bounds)


def decoded(
    data: bytes, form: type[Form], bounds: Bounds, hook: Callable[[Any, Any], Any] | None = None
) -> Form:
    """Return the JSON text `data` as a value, or raise an `UnfitError` that names the key.

    It is UTF-8 without a byte order mark, no key is there twice, and no number is absurdly long.
    """
    check(data, bounds)
    return converted(data, form, hook)


def converted(
    data: bytes, form: type[Form], hook: Callable[[Any, Any], Any] | None = None
) -> Form:
    """Return JSON as a value without looking for keys that are there twice, which takes longer."""
    try:
        return msgspec.json.decode(data, type=form, dec_hook=hook)
    except UnicodeDecodeError as error:
        raise _unfit("utf-8", byte=error.start) from None
    except RecursionError:
        raise _unfit("deep") from None
    except ValueError as error:  # msgspec's own, and those of a hook
        raise _unfit("odd", why=str(error)[:_LONGEST_WHY]) from None


def check(data: bytes, bounds: Bounds) -> None:
    """Raise an `UnfitError` for what two readers might take for two different documents."""
    if len(data) > bounds.size:
        raise _unfit("large", most=bounds.size)
    if data.startswith(b"\xef\xbb\xbf"):
        raise _unfit("mark")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise _unfit("utf-8", byte=error.start) from None
    bare = _TEXT.sub(b"", data)
    if _ABSURD.search(bare):
        raise _unfit("number")
    brackets = bare.translate(None, _NO_BRACKETS)
    for _ in range(bounds.depth):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if len(brackets) > bounds.depth or b"[]" in brackets or b"{}" in brackets:
        raise _unfit("nested", most=bounds.depth)
    try:
        json.loads(data, object_pairs_hook=_without_twins)
    except UnfitError:
        raise
    except ValueError as error:
        converted(data, object)  # whose words say what is wrong
        raise _unfit("odd", why=str(error)) from None


def toml(path: Path, bounds: Bounds) -> dict[str, Any]:
    """Return the TOML document `path` as a table."""
    data = content(path, bounds)
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise _unfit("utf-8", byte=error.start) from None
    except RecursionError:
        raise _unfit("deep") from None
    except ValueError as error:
        raise _unfit("odd", why=str(error)[:_LONGEST_WHY]) from None


def check_arrays(path: Path) -> None:
    """Raise an `UnfitError` unless each array packed in `path` fits memory, as its list says.

    NumPy unpacks one at a time, and never more of it than the list says.
    """
    from zipfile import BadZipFile, ZipFile  # noqa: TID251  # only its list is read, nothing unpacked

    if not path.is_file():
        raise _unfit("no-file")
    try:
        with ZipFile(path) as packed:
            listed = packed.infolist()
    except (BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise _unfit("odd", why=str(error)[:_LONGEST_WHY]) from None
    if any(entry.file_size > ARRAY.size for entry in listed):
        raise _unfit("unpacked", most=ARRAY.size)


def _plain(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _unlinked(path: str, flags: int) -> int:
    if Path(path).is_symlink():  # where the system knows no such flag
        raise _unfit("link")
    return _plain(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is there twice: readers differ in which of the two counts."""
    table = dict(pairs)
    if len(table) < len(pairs):
        ((twin, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise _unfit("twice", key=quoted(twin))
    return table


def _unfit(code: str, **values: Value) -> UnfitError:
    return UnfitError(because(f"document.{code}", **values))
