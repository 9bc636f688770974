"""Copies a repository, or some models and targets of it, byte by byte: a mirror is a repository."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from whisperopt.download.transport import Source, open_source
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.reasons import Reason, because
from whisperopt.release.catalog import File
from whisperopt.repository import index as indexes
from whisperopt.repository import reading
from whisperopt.repository import store as stores
from whisperopt.repository.index import Blob, Mirror, RepositoryIndex
from whisperopt.repository.reading import Kind
from whisperopt.repository.store import SIGNED, Store
from whisperopt.trust.client import Trust

Progress = Callable[[str, str], None]


class Mirrored(msgspec.Struct, frozen=True, kw_only=True):
    """What came of copying."""

    source: str
    mirror: str
    kind: Kind
    serial: int
    models: tuple[str, ...]
    """Those that the mirror holds now, among them what it held before."""
    targets: tuple[str, ...] | None
    """None: all."""
    blobs: int
    """How many it did not have."""
    bytes: int


def mirror(
    source: str | Path,
    destination: str | Path,
    *,
    models: Iterable[str] = (),
    targets: Iterable[str] = (),
    trust: Trust = reading.NO_TRUST,
    insecure: bool = False,
    progress: Progress = lambda _of, _doing: None,
) -> Mirrored:
    """Copy all versions of `models` for `targets` (default: all) from a repository into another.

    What the mirror holds already stays, and is brought up to date. Everything is checked on the
    way; the index and signatures are copied as they are, so that they speak of models that are not
    there as well: `mirror.json` says which are. The pointer goes last. Raises BadInputError for a
    destination that is anything but empty or a mirror, IntegrityError for a source that takes back
    what the mirror has.
    """
    origin = open_source(source, insecure=insecure)
    kind = reading.kind_of(origin)
    if kind == "build folder":
        raise BadInputError(because("repository.not-published-yet", source))
    metadata, document = reading.documents(origin, trust, kind)
    index = indexes.parse(document, str(source))
    own = Blob(hashlib.sha256(document).hexdigest(), len(document))
    store = stores.open_store(destination, insecure=insecure)
    pointer = SIGNED if kind == "signed repository" else indexes.NAME
    with store.writing():
        before = store.read(pointer, indexes.MAX_BYTES)
        held = _held(store, pointer, index)
        note = _note(Mirror(source=str(source), index=own), index, held, models, targets)
        copied = [*_copied(origin, store, index, note, progress)]
        if kind == "signed repository":
            store.put(own.sha256, document)
        else:
            metadata = {indexes.NAME: document}
        store.commit({indexes.MIRROR: indexes.encode(note), **metadata}, after=before)
    return Mirrored(
        source=str(source),
        mirror=store.where,
        kind=kind,
        serial=index.serial,
        models=tuple(name for name in sorted(index.models) if note.holds(name)),
        targets=note.targets,
        blobs=len(copied),
        bytes=sum(copied),
    )


def _held(store: Store, pointer: str, index: RepositoryIndex) -> Mirror | None:
    """Return what the mirror holds; None where it is new. `index` must go on from there."""
    data = store.read(indexes.MIRROR, indexes.MAX_BYTES)
    if data is None:
        for path in (SIGNED, indexes.NAME):
            if store.read(path, indexes.MAX_BYTES) is not None:
                raise BadInputError(because("repository.no-mirror", store.where))
        return None
    held = indexes.parse_mirror(data, store.where)
    path = indexes.NAME if pointer == indexes.NAME else held.index.path
    known = store.read(path, indexes.MAX_BYTES)
    if known is not None:
        before = indexes.parse(known, store.where)
        if why := taken_back(before, index):
            raise IntegrityError(msgspec.structs.replace(why, place=store.where))
    return held


def taken_back(before: RepositoryIndex, now: RepositoryIndex) -> Reason | None:
    """Return what a repository has no more, or has otherwise; None: it only went on."""
    if now.serial < before.serial:
        return because("repository.older", now=now.serial, before=before.serial)
    for model, known in before.models.items():
        there = now.models.get(model)
        for name, entry in known.versions.items():
            found = there.versions.get(name) if there else None
            if found is None or found.catalog != entry.catalog:
                return because("repository.taken-back", model=model, version=name)
    return None


def _note(
    note: Mirror,
    index: RepositoryIndex,
    held: Mirror | None,
    models: Iterable[str],
    targets: Iterable[str],
) -> Mirror:
    """Return what the mirror will hold: what is asked for, and what is `held`."""
    asked = tuple(sorted(models)) or None, tuple(sorted(targets)) or None
    for model in asked[0] or ():
        index.versions(model)  # or it is told which there are
    if held is None:
        return msgspec.structs.replace(note, models=asked[0], targets=asked[1])
    return msgspec.structs.replace(
        note, models=_both(asked[0], held.models), targets=_both(asked[1], held.targets)
    )


def _both(names: tuple[str, ...] | None, held: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if names is None or held is None else tuple(sorted({*names, *held}))


def _copied(
    source: Source, store: Store, index: RepositoryIndex, note: Mirror, progress: Progress
) -> Iterator[int]:
    """Copy the blobs that the mirror lacks, and yield their sizes."""
    last, unknown = "", set(note.targets or ())
    for of, file, held in reading.contents(source, index, note):
        unknown -= {name for name in unknown if f" {name}-" in of}  # variants are called by theirs
        if held and not store.has(file.sha256):
            progress("" if of == last else of, f"{file.path} {file.size / 1e6:.1f} MB")
            store.put(file.sha256, _chunks(source, file))
            last = of
            yield file.size
    if unknown:
        raise BadInputError(because("repository.no-target", min(unknown)))


def _chunks(source: Source, file: File) -> Iterator[bytes]:
    """Yield the bytes of a blob, as many as it should have at most."""
    arrived = 0
    with closing(source.chunks(file.at, file.size)) as chunks:
        for chunk in chunks:
            arrived += len(chunk)
            if arrived > file.size:
                place = source.where(file.at)
                raise IntegrityError(because("download.too-long", place, size=file.size))
            yield chunk
