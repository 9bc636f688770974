"""The compile cache: what runtimes prepare of artifacts on this host, made once, and kept.

An entry is a folder that a runtime filled while it opened an artifact. It is used again only as it
was left, byte for byte, and only after a session opened from it has passed the self-test.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from whisperopt import cache
from whisperopt.cache import Stamp
from whisperopt.errors import BadInputError
from whisperopt.reasons import because

LIMIT = "WHISPEROPT_PREPARED_MB"
"""The variable that says how many megabytes of prepared files are kept; 0 keeps none."""

_KIND = "prepared"
_NOTE = "entry.json"
_MEGABYTES = 4096.0


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The note in a folder: its files as they were left, and whether they are fit for use."""

    files: tuple[Stamp, ...] = ()
    """No change of a byte leaves size, inode and both times of change as they were."""
    checked: bool = False
    """A session opened from these files has passed the self-test."""
    refused: bool = False
    """This artifact is opened without: a session from these files failed, or they were too large."""
    too_large: int = 0
    """Bytes of the files, which are gone, where they were more than the limit at the time."""


def find(key: str) -> tuple[Path, Entry] | None:
    """Return the entry called `key` if its files are as they were left; a damaged one is removed."""
    path = cache.folder(_KIND) / key
    if not path.is_dir() or not _limit():
        return None
    with contextlib.suppress(OSError, ValueError):
        entry = msgspec.json.decode((path / _NOTE).read_bytes(), type=Entry)
        if entry.files == _stamps(path) and not 0 < entry.too_large <= _limit():
            cache.use(path)
            return path, entry
    cache.remove(path)
    return None


@contextlib.contextmanager
def new(key: str) -> Iterator[Path | None]:
    """Yield an empty folder to fill; it becomes the entry `key` unless an error ends the block.

    Nobody else sees it before. None: nothing can be kept here, or nothing is to be.
    """
    with contextlib.ExitStack() as stack:
        folder = None
        if limit := _limit():
            with contextlib.suppress(OSError):  # without a cache everything is prepared anew
                folder = stack.enter_context(cache.new_folder(_KIND))
        yield folder
        if folder is None:
            return
        with contextlib.suppress(OSError):  # full disk, or somebody else was faster
            if files := _stamps(folder):
                _write(folder, _fitting(folder, files, limit))
                folder.rename(folder.with_name(key))
                cache.evict(_KIND, limit)


def judge(found: tuple[Path, Entry], *, fit: bool) -> None:
    """Note that a session opened from `found` passed the self-test, or that it did not."""
    path, entry = found
    with contextlib.suppress(OSError):
        if not fit:
            _clear(path)
        _write(path, Entry(files=entry.files if fit else (), checked=fit, refused=not fit))


def _fitting(folder: Path, files: tuple[Stamp, ...], limit: float) -> Entry:
    """Return the note for `files`; what is above the limit is removed, and not prepared again."""
    size = sum(file.size for file in files)
    if size <= limit:
        return Entry(files=files)
    _clear(folder)
    return Entry(refused=True, too_large=size)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        cache.remove(path)


def _stamps(folder: Path) -> tuple[Stamp, ...]:
    """Return the stamps of all files but the note, or one half written."""
    return tuple(stamp for stamp in cache.stamps(folder) if not stamp.path.startswith(_NOTE))


def _write(folder: Path, entry: Entry) -> None:
    temporary = folder / f"{_NOTE}.new"
    temporary.write_bytes(msgspec.json.encode(entry))
    temporary.replace(folder / _NOTE)


def _limit() -> float:
    """Return how many bytes are kept."""
    text = os.environ.get(LIMIT, "")
    try:
        limit = float(text) if text else _MEGABYTES
    except ValueError:
        limit = -1
    if not limit >= 0:
        raise BadInputError(because("runtime.no-megabytes", LIMIT, text=repr(text[:40])))
    return limit * 1e6
