"""Where whisperopt keeps what it can make or fetch again, and small notes on what it found."""

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import msgspec

_Note = TypeVar("_Note")
_KEPT_SECONDS = 30 * 24 * 60 * 60
_SETTLED_NS = 100_000_000
"""Times of files are so coarse that a change right after another one cannot be seen by them."""


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What the system tells of a file without reading it: equal stamps mean equal bytes."""

    path: str
    inode: int
    size: int
    changed_ns: int
    touched_ns: int
    """When the system last noted any change of the file or its times, which nobody can set."""

    @classmethod
    def of(cls, path: Path, file: IO[bytes] | None = None) -> Self:
        """Return the stamp of the file at `path`, or of the `file` that was opened there.

        The path of a file that was opened counts as it is given.
        """
        found = path.stat() if file is None else os.fstat(file.fileno())
        return cls(
            path=str(path.resolve() if file is None else path),
            inode=found.st_ino,
            size=found.st_size,
            changed_ns=found.st_mtime_ns,
            touched_ns=found.st_ctime_ns,
        )

    @property
    def settled(self) -> bool:
        """Whether a change from now on would be seen by the times."""
        return time.time_ns() - max(self.changed_ns, self.touched_ns) > _SETTLED_NS


def folder(kind: str) -> Path:
    """Return the folder for one kind of things, below `WHISPEROPT_CACHE` or the user's cache."""
    if given := os.environ.get("WHISPEROPT_CACHE"):
        return Path(given).resolve() / kind
    import platformdirs

    return platformdirs.user_cache_path("whisperopt") / kind


def key(*facts: Any) -> str:
    """Return a name for everything that `facts` say, down to the numbers of arrays.

    Raises `TypeError` for what cannot be told from others of its kind, such as a function.
    """
    text = msgspec.json.encode(facts, order="sorted", enc_hook=_told)
    return hashlib.sha256(text).hexdigest()[:40]


def _told(value: Any) -> Any:
    if hasattr(value, "tobytes") and hasattr(value, "shape"):
        return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    raise TypeError(f"{type(value).__name__} has no digest")


def recall(kind: str, name: str, form: type[_Note]) -> _Note | None:
    """Return the note `name` of that `kind`; None where there is none, or none that is whole."""
    path = folder(kind) / f"{name}.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=form)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    in_use(path)
    return found


def in_use(path: Path) -> None:
    """Keep a file of the cache for another month, if it can be written at all."""
    with contextlib.suppress(OSError):
        os.utime(path)


def keep(kind: str, name: str, note: Any) -> None:
    """Write a note for `recall`, and remove those of its kind that nobody asked for in a month.

    A disk that takes none is no error: the next build only has more to do.
    """
    with contextlib.suppress(OSError):
        place = folder(kind)
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, delete=False) as file:
            file.write(msgspec.json.encode(note))
        Path(file.name).replace(place / f"{name}.json")
        for path in place.iterdir():
            if path.stat().st_mtime < time.time() - _KEPT_SECONDS:
                path.unlink()


def sha256(path: Path) -> str:
    """Return the sha256 of a file as hex digits; one that is unchanged is read once only."""
    stamp = Stamp.of(path)
    if known := _sums.get(stamp):
        return known
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if stamp.settled:
        _sums[stamp] = found
    return found


def same_bytes(copy: Path, original: Path) -> Stamp:
    """Return the stamp of `copy`, and take it from now on that it has the bytes of `original`."""
    stamp = Stamp.of(copy)
    _sums[stamp] = sha256(original)
    return stamp


_sums: dict[Stamp, str] = {}
