"""What a client believes: what the keys of a repository have signed, or, if so asked, anything.

What it knows of a repository lies in the cache, by its address: the root that was believed first,
and the newest state that was verified, behind which nobody gets it back.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from whisperopt import cache
from whisperopt.errors import BadInputError, IntegrityError, WhisperoptError
from whisperopt.reasons import Reason, because
from whisperopt.release.store import disk_errors
from whisperopt.repository.index import MAX_BYTES, NAME

if TYPE_CHECKING:
    from whisperopt.download.transport import Source

MAX_ROOT_BYTES = 2**17
_FIRST = "metadata/1.root.json"
_PIN = "pinned.json"
_ABSENT = frozenset(
    {"download.404", "download.no-file", "download.not-a-release", "download.offline"}
)
_Taken = TypeVar("_Taken")
_FORBIDDEN = 403
"""What buckets say of files that are not there, to whom may not list them."""


class Trust(msgspec.Struct, frozen=True):
    """Whom to believe."""

    root: Path | None = None
    """The root to start from; else the one that was pinned, or the repository's own."""
    unsigned: bool = False
    """Whether a repository that nobody signed will do."""
    tell: Callable[[Reason], None] | None = None
    """Is told what the user should know, such as that a root was pinned; None: Python warns."""


def verified(source: "Source", trust: Trust, key: str) -> bytes:
    """Return the document of the repository at `source`, whose address is `key`.

    Raises IntegrityError for what is not signed as it should be, is older than what was seen
    before or has expired, and then believes what it believed before; NetworkError for a server
    that does not answer; BadInputError where nothing is, or without a cache to remember things.
    """
    from whisperopt.download import transport

    if trust.root is not None and trust.unsigned:
        raise BadInputError(because("trust.both"))
    if isinstance(source, transport.OfflineSource) and is_pinned(key):
        return last_verified(key)
    may_be_unsigned = trust.root is None and (trust.unsigned or not is_pinned(key))
    if may_be_unsigned and not _has_root(source):
        data = transport.read(source, NAME, MAX_BYTES)
        check_unsigned(source.where(NAME), trust, key)
        return data
    return _update(source, trust, key, lambda document, _: document)


def metadata(source: "Source", trust: Trust, key: str) -> tuple[Mapping[str, bytes], bytes]:
    """Return the verified metadata of a signed repository, as `commit` takes it, and its document.

    They are of one state: for a mirror.
    """
    from whisperopt.trust import updating

    return _update(source, trust, key, lambda doc, at: (updating.metadata(source, at), doc))


def check_unsigned(where: str, trust: Trust, key: str) -> None:
    """Refuse what nobody signed, unless `trust` allows it: for what is no folder of one's own."""
    if not trust.unsigned:
        signed = trust.root is not None or is_pinned(key)
        raise IntegrityError(because("trust.downgraded" if signed else "trust.unsigned", where))


def is_pinned(key: str) -> bool:
    """Say whether the repository with that address was signed when it was last read."""
    return (_state(key) / _PIN).is_file()


def last_verified(key: str) -> bytes:
    """Return the document as it was last verified, for who is offline; it may have expired.

    Raises IntegrityError where none was, or where it was damaged since.
    """
    from whisperopt.trust import updating

    state = _state(key)
    pinned = _read(state / _PIN)
    if pinned is None:
        raise IntegrityError(because("trust.never-verified", key))
    document = updating.remembered(_folder(state, pinned, pinned))
    if document is None:
        raise IntegrityError(because("trust.never-verified", key))
    return document


def is_absent(error: WhisperoptError) -> bool:
    """Say whether `error` means that a source has no such file, or, offline, that none was kept."""
    return error.reason.code in _ABSENT or error.reason.values.get("status") == _FORBIDDEN


def _has_root(source: "Source") -> bool:
    from whisperopt.download import transport

    try:
        return bool(transport.read(source, _FIRST, MAX_ROOT_BYTES))
    except WhisperoptError as error:
        if is_absent(error):
            return False
        raise


def _update(
    source: "Source", trust: Trust, key: str, take: Callable[[bytes, Path], _Taken]
) -> _Taken:
    """Bring what is known of a repository up to date; return what `take` makes of it.

    That gets the document and the folder with the metadata, which nobody changes meanwhile.
    """
    from whisperopt.trust import updating

    with _locked(key) as state:
        pinned = _read(state / _PIN)
        anchor = _anchor(source, trust, pinned)
        folder = _folder(state, pinned, anchor)
        document = updating.update(source, anchor, folder)
        if pinned is None or folder != _folder(state, pinned, pinned):
            write(state / _PIN, anchor)
        taken = take(document, folder)
    if pinned is None and trust.root is None:
        sha256 = hashlib.sha256(anchor).hexdigest()
        pin = because("trust.pinned", source.where(_FIRST), sha256=sha256)
        if trust.tell is None:
            warnings.warn(str(pin), stacklevel=2)
        else:
            trust.tell(pin)
    return taken


def _anchor(source: "Source", trust: Trust, pinned: bytes | None) -> bytes:
    """Return the root to start from: the one that the user names, or is pinned, or is there."""
    from whisperopt.download import transport
    from whisperopt.trust import updating

    if trust.root is None:
        return pinned or transport.read(source, _FIRST, MAX_ROOT_BYTES)
    with disk_errors(trust.root):
        data = _read(trust.root)
    if data is None or not updating.is_root(data):
        raise BadInputError(because("trust.no-root", trust.root))
    return data


def _folder(state: Path, pinned: bytes | None, anchor: bytes) -> Path:
    """Return where is kept what follows from `anchor`: with the pinned root, if that leads to it."""
    if pinned is not None:
        folder = state / _digest(pinned)
        history = (folder / "root_history").glob("*.root.json")
        if anchor == pinned or any(_read(path) == anchor for path in history):
            return folder
    return state / _digest(anchor)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:40]


def _state(key: str) -> Path:
    return cache.folder("tuf") / _digest(key.encode(errors="surrogatepass"))


@contextmanager
def _locked(key: str) -> Iterator[Path]:
    """Yield the folder for what is known of a repository; one process at a time has it."""
    import filelock

    if isinstance(home := cache.home(), Reason):
        raise BadInputError(home)
    state = _state(key)
    with disk_errors(state):
        state.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(state / "lock"):
            yield state


def _read(path: Path) -> bytes | None:
    """Return a small file; None where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(MAX_ROOT_BYTES + 1)


def write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
