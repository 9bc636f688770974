"""What runtimes prepare of artifacts on this host, such as compiled graphs: made once, and kept.

An entry is a folder that a runtime filled while it opened an artifact. It is used again only as it
was left, byte for byte, and only after a session opened from it has passed the self-test.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from whisperopt import cache
from whisperopt.errors import BadInputError

LIMIT = "WHISPEROPT_PREPARED_MB"
"""The variable that says how many megabytes of prepared files are kept; 0 keeps none."""

_KIND = "prepared"
_NOTE = "entry.json"
_NEW = "new-"
_MEGABYTES = 4096.0
_DAY = 24 * 60 * 60
_Stamp = tuple[int, int, int, int]


class Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The note in a folder: its files as they were left, and whether they are fit for use."""

    files: dict[str, _Stamp]
    """Size, both times of change in nanoseconds, and inode: no change of a byte leaves all four."""
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
    try:
        entry = msgspec.json.decode((path / _NOTE).read_bytes(), type=Entry)
        if entry.files == _stamps(path) and not 0 < entry.too_large <= _limit():
            os.utime(path)  # it is in use: pruning takes the others first
            return path, entry
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        pass
    shutil.rmtree(path, ignore_errors=True)
    return None


@contextlib.contextmanager
def new(key: str) -> Iterator[Path | None]:
    """Yield an empty folder to fill; it becomes the entry `key` unless an error ends the block.

    Nobody else sees it before. None: nothing can be kept here, or nothing is to be.
    """
    root = cache.folder(_KIND)
    folder = _made(root) if _limit() else None
    if folder is None:
        yield None
        return
    try:
        yield folder
        with contextlib.suppress(OSError):  # full disk, or somebody else was faster
            if files := _stamps(folder):
                _write(folder, _noted(folder, files))
                folder.rename(root / key)
                _prune(root, root / key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def judge(found: tuple[Path, Entry], *, fit: bool) -> None:
    """Note that a session opened from `found` passed the self-test, or that it did not."""
    path, entry = found
    with contextlib.suppress(OSError):
        if not fit:
            entry.files = {}
            _clear(path)
        entry.checked, entry.refused = fit, not fit
        _write(path, entry)


def _noted(folder: Path, files: dict[str, _Stamp]) -> Entry:
    """Return the note for `files`; what is above the limit is removed, and not prepared again."""
    size = sum(size for size, *_ in files.values())
    if size <= _limit():
        return Entry(files=files)
    _clear(folder)
    return Entry(files={}, refused=True, too_large=size)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _made(root: Path) -> Path | None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=_NEW, dir=root))
    except OSError:  # without a cache everything is prepared anew
        return None


def _stamps(folder: Path) -> dict[str, _Stamp]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith(_NOTE):  # nor one half written
            facts = path.stat()
            stamp = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
            found[path.relative_to(folder).as_posix()] = stamp
    return found


def _write(folder: Path, entry: Entry) -> None:
    temporary = folder / f"{_NOTE}.new"
    temporary.write_bytes(msgspec.json.encode(entry))
    temporary.replace(folder / _NOTE)


def _prune(root: Path, latest: Path) -> None:
    """Remove what was used longest ago until the limit is kept, and what was never finished."""
    room = _limit()
    for path in sorted(root.iterdir(), key=lambda path: (path != latest, -path.stat().st_mtime)):
        if path.name.startswith(_NEW):
            old = path.stat().st_mtime < time.time() - _DAY
        else:
            room -= sum(size for size, *_ in _stamps(path).values())
            old = room < 0
        if old:
            shutil.rmtree(path, ignore_errors=True)


def _limit() -> float:
    """Return how many bytes are kept."""
    text = os.environ.get(LIMIT, "")
    try:
        limit = float(text) if text else _MEGABYTES
    except ValueError:
        limit = -1
    if not limit >= 0:
        raise BadInputError(
            f"{LIMIT} is {text[:40]!r}", "Set it to a number of megabytes, or unset it"
        )
    return limit * 1e6
