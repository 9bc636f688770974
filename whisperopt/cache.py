"""Where whisperopt keeps what it can make or fetch again: kinds, keys, stamps, digests and notes."""

import contextlib
import functools
import hashlib
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import msgspec

from whisperopt import documents
from whisperopt.reasons import Reason, because

HOME = "WHISPEROPT_CACHE"
"""The variable that names the folder of the cache."""

GOES = {
    "builds": "what a release follows from, and the stamps of its files",
    "choices": "which weights of an encoder may be rounded",
    "completed": "variants whose files lie with others in a release, put together",
    "digests": "digests of checkpoints by the stamps of their files",
    "documents": "what servers said last, for `--offline`",
    "engines": "what TensorRT built on this device",
    "graphs": "where graphs lie, with their digests: not the graphs themselves",
    "heard": "the core model's answers to clips, and their numbers",
    "outcomes": "the proof of one variant",
    "prepared": "what runtimes compiled of artifacts on this host; also limited in size",
    "probes": "which backends were ready on this host",
    "proofs": "the samples of a proof that was stopped, to go on from",
    "quarantine": "which variants did not open on this host after they were fetched",
    "races": "the times of a race",
    "self-tests": "which artifacts opened on this host, and which hung",
    "verified": "which artifacts have the files that they shall have",
}
"""The kinds of things that go when nobody has used them for a month, and what they are."""

STAYS = {
    "artifacts": "variants that were fetched",
    "locks": "an empty file for each release that was written and each variant that was fetched",
    "overlays": "what `whisperopt validate` found on this host, beside the releases",
    "parts": "what has arrived of files that are being fetched",
    "refs": "who asked for which variant, and where it lies",
    "rehearsals": "runtimes that `ci/install-rehearsals` put there",
    "trash": "what `whisperopt cache gc` is about to remove",
    "tuf": "which roots of repositories are trusted, and their newest state that was verified",
    "tuned": "what `whisperopt tune` found on this host",
}
"""The kinds that only the user removes."""

_DAY = 24 * 60 * 60
_UNUSED = 30 * _DAY
_UNFINISHED = "new-"
"""How the names of things begin that are still being written; after a day nobody is at it."""
_SETTLED_NS = 100_000_000
"""Times of files are so coarse that a change right after another one cannot be seen by them."""
_NOWHERE = Path(os.devnull)
_CODE = {".py", ".toml", ".c"}
_VALUES = {"recipes.py", "targets.toml"}
"""Files of values: whoever depends on one of these names that value, and not the whole file."""

_Note = TypeVar("_Note")


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


class KeptFile(msgspec.Struct, frozen=True):
    """A file that counts only with the bytes that it had."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Note the file at `path` as it is."""
        return cls(path, sha256(path))

    @property
    def sound(self) -> bool:
        """Whether it is there with the same bytes."""
        try:
            return sha256(self.path) == self.sha256
        except OSError:
            return False


def home() -> Path | Reason:
    """Return the folder of the cache, or why this user has none: then nothing is kept."""
    if given := os.environ.get(HOME):
        return Path(given).resolve()
    import platformdirs

    try:
        return platformdirs.user_cache_path("whisperopt")
    except RuntimeError:  # no home folder, as in a container whose user has no name
        return because("cache.off", HOME)


def folder(kind: str) -> Path:
    """Return the folder for one kind of things.

    Without a cache it is a path at which nothing can be, so that reading and writing fail as they
    do on a disk that refuses them.
    """
    if kind not in GOES and kind not in STAYS:
        raise KeyError(kind)
    found = home()
    return (_NOWHERE if isinstance(found, Reason) else found) / kind


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


def stamps(folder: Path) -> tuple[Stamp, ...]:
    """Return the stamps of all files below `folder`, with their paths inside it."""
    return tuple(
        msgspec.structs.replace(Stamp.of(path), path=path.relative_to(folder).as_posix())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )


def files_key(folder: Path) -> str:
    """Return a name for a folder, where it is and as its files are."""
    return key(str(folder.resolve()), stamps(folder))


@functools.cache
def code_key(*names: str) -> str | None:
    """Return a digest of the sources of all modules and packages in `names`.

    What some code made or found holds only while that code stays the same. None where there is a
    module without a file, such as one typed at a prompt: nobody can tell whether it does.
    """
    state = hashlib.sha256()
    for name in sorted(set(names)):
        roots = _sources(name)
        if not roots:
            return None
        for root in roots:
            files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if _is_code(p))
            for path in files:
                state.update(f"{name} {path.relative_to(root).as_posix()}\n".encode())
                state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()


def _sources(name: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    places = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
    return [path for place in places if (path := Path(place)).exists()]


def _is_code(path: Path) -> bool:
    return path.suffix in _CODE and path.name not in _VALUES and path.is_file()


def recall(
    kind: str, name: str, form: type[_Note], *, most: int = documents.NOTE.size
) -> _Note | None:
    """Return the note `name` of that `kind`; None where there is none, or none that is whole.

    One of more than `most` bytes is none.
    """
    path = note(kind, name)
    try:
        content = documents.content(path, documents.Bounds(most))
        found = documents.converted(content, form, lambda kind, text: kind(text))
    except (OSError, documents.UnfitError):
        return None
    use(path)
    return found


def keep(kind: str, name: str, content: Any) -> None:
    """Write a note for `recall`; a disk that takes none is no error: it will be found out again."""
    with contextlib.suppress(OSError, UnicodeError):
        write(kind, name, content)


def write(kind: str, name: str, content: Any) -> Path:
    """Write a note for `recall`, whole or not at all, and return its file."""
    with new_file(kind) as file:
        file.write_bytes(msgspec.json.encode(content, enc_hook=os.fspath))
        return file.replace(note(kind, name))


def note(kind: str, name: str) -> Path:
    """Return where the note `name` is."""
    return folder(kind) / f"{name}.json"


def copy(kind: str, name: str, original: Path) -> KeptFile:
    """Keep a copy of a file under `name`."""
    with new_file(kind) as file:
        shutil.copyfile(original, file)
        return KeptFile.of(file.replace(folder(kind) / name))


@contextlib.contextmanager
def new_file(kind: str) -> Iterator[Path]:
    """Yield a path to write and rename; what is still there afterwards is removed."""
    with new_folder(kind) as made:
        yield made / "file"
    evict(kind)


@contextlib.contextmanager
def new_folder(kind: str) -> Iterator[Path]:
    """Yield an empty folder to fill and rename; what is still there afterwards is removed."""
    place = folder(kind)
    place.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=place))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def use(path: Path) -> None:
    """Keep a file or folder of the cache for another month, if it can be written at all."""
    with contextlib.suppress(OSError):
        os.utime(path)


def evict(kind: str, most: float = float("inf")) -> None:
    """Remove what nobody used for a month; of more than `most` bytes what was used longest ago.

    What somebody began to write and did not finish within a day goes too.
    """
    if kind in STAYS:
        return
    now = time.time()
    with contextlib.suppress(OSError):  # somebody else removes it at the same time
        used = {path: path.stat().st_mtime for path in folder(kind).iterdir()}
        for path in sorted(used, key=used.__getitem__, reverse=True):
            unfinished = path.name.startswith(_UNFINISHED)
            if most < float("inf") and not unfinished:
                most -= sum(stamp.size for stamp in stamps(path))
            if most < 0 or used[path] < now - (_DAY if unfinished else _UNUSED):
                remove(path)


def size(kind: str) -> int:
    """Return how many bytes the things of a kind take."""
    total = 0
    for path in folder(kind).rglob("*"):
        with contextlib.suppress(OSError):  # somebody removes it at the same time
            total += path.lstat().st_size if path.is_file() else 0
    return total


def remove(path: Path) -> None:
    """Remove a file or folder of the cache, if it is there and can be removed."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
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


def same_bytes(copy: Path, original: Path) -> None:
    """Take it from now on that `copy` has the bytes of `original`."""
    _sums[Stamp.of(copy)] = sha256(original)


_sums: dict[Stamp, str] = {}
