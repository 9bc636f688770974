"""Who needs what of the cache: a reference for everything that was asked for, and what nobody needs.

A reference is a note that names the files of one variant and where they lie. What was fetched into
the cache, the entry of a lock file, and a folder that `--to` named are the roots of `cache gc`.
"""

import contextlib
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from whisperopt import artifact, cache, locks
from whisperopt.download.parts import SUFFIX
from whisperopt.errors import WhisperoptError
from whisperopt.reasons import Reason, because
from whisperopt.release import catalog as catalogs
from whisperopt.release import store
from whisperopt.release.catalog import File, Variant

UNUSED_DAYS = 30.0
"""After so long goes what no reference names."""

Kind = Literal["fetched", "lock", "folder"]

_KIND = "refs"
_DAY = 24 * 60 * 60
_PART_SECONDS = 7 * _DAY
_ENTRY = re.compile(r".+--[0-9a-f]{12}")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asked for, and what he got."""

    kind: Kind
    asked: str
    """The repository, the lock file or the folder."""
    model: str
    version: str
    variant: str
    digest: str
    path: str
    """Where the files lie."""
    files: tuple[File, ...]

    @property
    def alive(self) -> bool:
        """Whether what asked is still there."""
        return self.kind == "fetched" or Path(self.asked).exists()


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A variant in the cache."""

    path: Path
    model: str
    variant: str
    size: int
    used: float
    """When it was last fetched or opened, in seconds since 1970."""
    references: tuple[Reference, ...]

    @property
    def pinned(self) -> bool:
        """Whether a lock file names it."""
        return any(reference.kind == "lock" for reference in self.references)


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that goes, or would go."""

    path: Path
    size: int
    used: float
    why: Reason


def folder_of(model: str, variant: Variant) -> str:
    """Return the name of the folder of a variant in the cache."""
    return f"{model}--{variant.name}--{variant.digest.removeprefix('sha256:')[:12]}"


@contextlib.contextmanager
def turn(name: str, seconds: float = 0) -> Iterator[bool]:
    """Let one process at a time bring, mend or remove what `folder_of` calls `name`.

    Yields False if after so many `seconds` it still is somebody else's turn.
    """
    with locks.turn(cache.folder("locks") / f"{name}.lock", seconds) as held:
        yield held


def remember(reference: Reference, *question: object) -> None:
    """Note what was asked for and what came of it; the same question again replaces it."""
    cache.keep(_KIND, cache.key(reference.kind, reference.asked, *question), reference)


def recall() -> tuple[Reference, ...]:
    """Return all references, and forget those whose lock file or folder is gone."""
    notes = cache.folder(_KIND)
    found = []
    for path in sorted(notes.glob("*.json")) if notes.is_dir() else ():
        known = cache.recall(_KIND, path.stem, Reference)
        if known is None or not known.alive:
            cache.remove(path)
        else:
            found.append(known)
    return tuple(found)


def copies() -> dict[str, Path]:
    """Return files on this machine that once had a sha256, by it; they may have changed since."""
    places = {
        file.sha256: (Path(known.path) / file.path, file.size)
        for known in recall()
        for file in known.files
    }
    return {
        sha256: path
        for sha256, (path, size) in places.items()
        if path.is_file() and not path.is_symlink() and path.stat().st_size == size
    }


def kept() -> tuple[Kept, ...]:
    """Return the variants in the cache, those used last first."""
    home, known = cache.folder("artifacts"), recall()
    found = []
    for path in home.iterdir() if home.is_dir() else ():
        if _ENTRY.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            own = tuple(reference for reference in known if Path(reference.path) == path)
            with contextlib.suppress(OSError):  # somebody removes it
                found.append(_kept(path, own))
    return tuple(sorted(found, key=lambda entry: (-entry.used, str(entry.path))))


def _kept(path: Path, references: tuple[Reference, ...]) -> Kept:
    try:
        manifest = artifact.read(path).manifest
        model, variant = manifest.model, manifest.variant
    except WhisperoptError:  # it is damaged, and says no more what it is
        model, variant = next(((r.model, r.variant) for r in references), ("", path.name))
    size = sum(file.stat().st_size for file in path.iterdir())
    return Kept(
        path=path,
        model=model,
        variant=variant,
        size=size,
        used=path.stat().st_mtime,
        references=references,
    )


def damaged(entry: Kept) -> bool:
    """Say whether the bytes of a variant in the cache are no longer what was fetched."""
    wanted = {ref.digest for ref in entry.references} or {"sha256:" + entry.path.name[-12:]}
    try:
        found = catalogs.digest(catalogs.describe_files(entry.path))
    except OSError:
        return True
    return not any(found.startswith(digest) for digest in wanted)


def collect(
    *, max_bytes: int | None = None, days: float = UNUSED_DAYS, dry_run: bool = False
) -> tuple[Removal, ...]:
    """Remove what nobody needs from the cache, unless it is a `dry_run`; return what that is.

    1. what nobody used for `days` and no reference names
    2. of more than `max_bytes` of variants what was used longest ago, unless a lock file names it
    3. parts of downloads that nobody went on with for a week, and what removals left behind

    Whatever somebody is at meanwhile stays.
    """
    removals = list(_unneeded(kept(), max_bytes, days))
    parts = cache.folder("parts")
    for path in parts.glob(f"*{SUFFIX}") if parts.is_dir() else ():
        with contextlib.suppress(OSError):
            state = path.lstat()
            if time.time() - state.st_mtime > _PART_SECONDS:
                why, used = because("cache.part"), state.st_mtime
                removals.append(Removal(path=path, size=state.st_size, used=used, why=why))
    if dry_run:
        return tuple(removals)
    gone = tuple(removal for removal in removals if _removed(removal))
    cache.remove(cache.folder("trash"))
    for kind in cache.GOES:
        cache.evict(kind)
    with contextlib.suppress(OSError), store.new_folder(cache.folder("artifacts")):
        pass  # which sweeps what fetches died over
    return gone


def discard(path: Path) -> None:
    """Take a folder or file out of its place at once, and then remove it."""
    trash = cache.folder("trash")
    trash.mkdir(parents=True, exist_ok=True)
    there = path.rename(trash / uuid.uuid4().hex)
    cache.remove(there)


def _unneeded(entries: Iterable[Kept], max_bytes: int | None, days: float) -> Iterator[Removal]:
    now, total = time.time(), 0
    staying = []
    for entry in entries:
        if not entry.references and now - entry.used > days * _DAY:
            yield _removal(entry, because("cache.unused", days=days))
        else:
            staying.append(entry)
            total += entry.size
    for entry in sorted(staying, key=lambda kept: (bool(kept.references), kept.used)):
        if max_bytes is None or total <= max_bytes:
            return
        if not entry.pinned:
            total -= entry.size
            yield _removal(entry, because("cache.beyond", most=max_bytes))


def _removal(entry: Kept, why: Reason) -> Removal:
    return Removal(path=entry.path, size=entry.size, used=entry.used, why=why)


def _removed(removal: Removal) -> bool:
    """Remove what nobody is at, or used meanwhile; say whether it is gone."""
    path = removal.path
    with contextlib.ExitStack() as held, contextlib.suppress(OSError):
        if path.suffix == SUFFIX:
            descriptor = locks.take(path)
            mine = descriptor is not None
            if descriptor is not None:
                held.callback(os.close, descriptor)
        else:
            mine = held.enter_context(turn(path.name))
        if mine and path.lstat().st_mtime == removal.used:
            discard(path)
    return not path.exists()
