"""Publishes versions into a repository, and withdraws them; what is published never changes."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec
from packaging.version import Version as Pep440

from whisperopt import cache
from whisperopt import matrix as matrices
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.matrix import Matrix
from whisperopt.reasons import because, places_of_control, quoted
from whisperopt.release import catalog as catalogs
from whisperopt.release import store as releases
from whisperopt.repository import index as indexes
from whisperopt.repository import reading
from whisperopt.repository import store as stores
from whisperopt.repository.index import Blob, ModelVersions, RepositoryIndex, Version
from whisperopt.repository.prepare import Origin, Prepared, prepared
from whisperopt.repository.reading import Kind
from whisperopt.repository.store import SIGNED, ChangedError, Store
from whisperopt.results.validation import Change

Progress = Callable[[str, str], None]
"""Is called with the name of a variant or model, and what is done with it."""

Made: TypeAlias = dict[str, Prepared]
"""By the model's name."""

_TRIES = 8
"""Places without locks let others commit in between; so often in a row they do not."""


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What came of publishing."""

    repo: str
    kind: Kind
    serial: int
    """Of the repository, as it is now."""
    version: str
    published: tuple[str, ...]
    """The models that have this version since now."""
    unchanged: tuple[str, ...]
    """Those that had it already, with the same content."""
    blobs: int
    """How many the repository did not have."""
    bytes: int
    """In these blobs."""
    changes: tuple[Change, ...]
    """What the raw samples say otherwise than the build folder's catalog; they count."""


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """What came of withdrawing a version."""

    repo: str
    serial: int
    model: str
    version: str
    why: str
    newest: str
    """What the model's name alone means now; empty: nothing."""


class _State(NamedTuple):
    """What a repository holds before somebody writes into it."""

    pointer: bytes | None
    document: RepositoryIndex


def publish(
    release: str | Path,
    repo: str | Path,
    *,
    version: str,
    overlay: str | Path | None = None,
    keys: Path | None = None,
    matrix: Matrix | None = None,
    progress: Progress = lambda _name, _doing: None,
) -> Published:
    """Publish every model of the build folder `release` as `version` (PEP 440) into `repo`.

    Every byte is compared with the catalog's digests, and what the catalog says of proofs is what
    the raw samples say. The blobs go first and the index last, so that readers have the old state
    until they have the new one, whoever dies when; who is called again goes on. The same content
    again changes nothing. With an `overlay`, a folder that `validate` wrote, what was found out
    counts as well, and makes the next `.postN` of `version`, unless that is one. Raises
    BadInputError for other content of a version that is there, and IntegrityError for a release
    with other bytes than its catalog says.
    """
    wanted = _public(version)
    folder = Path(release)
    content = releases.read(folder)
    if not content.models:
        raise BadInputError(because("download.no-model", folder / catalogs.NAME))
    beside = None if overlay is None else Path(overlay)
    origin = Origin(folder, content, beside, matrix or matrices.load())
    store = stores.open_store(repo)
    with store.writing():
        index = _state(store, keys).document
        name, made = _named(origin, index, wanted)
        catalogs_made = {model: found.catalog for model, found in made.items()}
        added(index, catalogs_made, name, "")  # or it is refused before anything is sent
        sent = [_sent(store, found, progress) for found in made.values()]
        before, after = _committed(
            store, keys, lambda index: added(index, catalogs_made, name, _now())
        )
    new = [model for model in made if before.models.get(model) != after.models[model]]
    return Published(
        repo=store.where,
        kind="signed repository" if keys else "unsigned repository",
        serial=after.serial,
        version=name,
        published=tuple(new),
        unchanged=tuple(model for model in made if model not in new),
        blobs=sum(count for count, _ in sent),
        bytes=sum(size for _, size in sent),
        changes=tuple(change for found in made.values() for change in found.changes),
    )


def withdraw(model: str, repo: str | Path, *, why: str, keys: Path | None = None) -> Withdrawn:
    """Say that nobody should take `MODEL@VERSION` any more; who names it still gets it."""
    name, wanted = reading.split(model)
    if wanted is None:
        raise BadInputError(because("repository.which-version", model))
    if not why.strip() or len(why) > indexes.MAX_TEXT or next(places_of_control(why), None):
        raise BadInputError(because("repository.no-why", quoted(why), most=indexes.MAX_TEXT))
    store = stores.open_store(repo)
    with store.writing():
        _, after = _committed(store, keys, lambda index: without(index, name, wanted, why))
    found = reading.resolve_version(after, name, wanted)
    return Withdrawn(
        repo=store.where,
        serial=after.serial,
        model=name,
        version=found.name,
        why=why,
        newest=reading.newest(after, name),
    )


def added(
    index: RepositoryIndex, made: Mapping[str, Blob], name: str, created: str
) -> RepositoryIndex:
    """Return `index` with the version `name` of every model in `made`, by their catalogs.

    It is the same one if it has all of that; BadInputError if it has it with other content.
    """
    models = dict(index.models)
    for model, catalog in made.items():
        known = models.get(model, ModelVersions({})).versions
        asked = indexes.version(name)
        same = next((other for other in known if indexes.version(other) == asked), None)
        if same is not None:
            if known[same].catalog != catalog:
                facts = {"model": model, "published": known[same].created, "same": same}
                raise BadInputError(because("repository.never-changes", name, **facts))
            continue
        entry = Version(serial=index.serial + 1, created=created, catalog=catalog)
        models[model] = ModelVersions({**known, name: entry})
    return index if models == index.models else _next(index, models, created)


def without(index: RepositoryIndex, model: str, wanted: str, why: str) -> RepositoryIndex:
    """Return `index` with a version withdrawn, the same one if it is so for the same reason."""
    found = reading.resolve_version(index, model, wanted)
    entry = msgspec.structs.replace(found.version, withdrawn=why)
    if entry == found.version:
        return index
    versions = {**index.models[model].versions, found.name: entry}
    return _next(index, {**index.models, model: ModelVersions(versions)}, _now())


def _next(
    index: RepositoryIndex, models: dict[str, ModelVersions], created: str
) -> RepositoryIndex:
    return msgspec.structs.replace(index, models=models, serial=index.serial + 1, created=created)


def _named(origin: Origin, index: RepositoryIndex, wanted: Pep440) -> tuple[str, Made]:
    """Return what is published, and as which version.

    What an overlay brings is the next `.postN`, but for what the last one has brought already.
    """
    name, last = str(wanted), 0
    if origin.overlay is not None and not wanted.is_postrelease:
        versions = [version for model in index.models.values() for version in model.versions]
        taken = [v for v in versions if v.startswith(f"{wanted}.post") and ".dev" not in v]
        last = max((indexes.version(v).post or 0 for v in taken), default=0)
        name = f"{wanted}.post{last or 1}"
    made = _made(origin, name)
    for model, found in made.items() if last else ():
        known = index.models.get(model, ModelVersions({})).versions
        if name not in known or known[name].catalog != found.catalog:
            name = f"{wanted}.post{last + 1}"
            return name, _made(origin, name)
    return name, made


def _made(origin: Origin, name: str) -> Made:
    return {model: prepared(origin, model, name) for model in sorted(origin.content.models)}


def _public(version: str) -> Pep440:
    """Return a version as repositories have it; what somebody made locally is not for others."""
    found = indexes.version(version)
    if found.local is not None:
        raise BadInputError(because("repository.local-version", quoted(version)))
    return found


def _sent(store: Store, made: Prepared, progress: Progress) -> tuple[int, int]:
    """Store what the repository lacks, the catalog last; return how many blobs and bytes."""
    count, size, last = 0, 0, ""
    for sha256, (content, length, what) in made.blobs.items():
        if store.has(sha256):
            if isinstance(content, Path) and (found := cache.sha256(content)) != sha256:
                raise IntegrityError(because("repository.other-content", content, found=found))
            continue
        progress("" if what == last else what, f"{length / 1e6:.1f} MB")
        store.put(sha256, content)
        count, size, last = count + 1, size + length, what
    return count, size


def _committed(
    store: Store, keys: Path | None, change: Callable[[RepositoryIndex], RepositoryIndex]
) -> tuple[RepositoryIndex, RepositoryIndex]:
    """Commit what `change` makes of the index, if anything; return it as it was and as it is."""
    for _ in range(_TRIES):
        state = _state(store, keys)
        index = change(state.document)
        if index is state.document:
            return index, index
        data = indexes.encode(index)
        indexes.parse(data, store.where)  # nobody could read it otherwise
        try:
            store.commit(_files(store, data, keys), after=state.pointer)
        except ChangedError:
            continue
        return state.document, index
    raise ChangedError(because("repository.changed", store.where))


def _state(store: Store, keys: Path | None) -> _State:
    """Read what is there, as somebody who is about to change it."""
    signed, unsigned = (store.read(path, indexes.MAX_BYTES) for path in (SIGNED, indexes.NAME))
    if store.read(indexes.MIRROR, indexes.MAX_BYTES) is not None:
        raise BadInputError(because("repository.is-mirror", store.where))
    if keys is None and signed is not None:
        raise BadInputError(because("repository.needs-keys", store.where))
    if keys is not None and unsigned is not None:
        raise BadInputError(because("repository.never-signed", store.where))
    data = unsigned
    if keys is not None:
        from whisperopt.trust import signing
        from whisperopt.trust.keys import Keys

        data = signing.published(store, Keys(keys))
    empty = RepositoryIndex(name="models", serial=0, created="")
    index = empty if data is None else indexes.parse(data, store.where)
    return _State(signed if keys else unsigned, index)


def _files(store: Store, index: bytes, keys: Path | None) -> Mapping[str, bytes]:
    if keys is None:
        return {indexes.NAME: index}
    from whisperopt.trust import signing
    from whisperopt.trust.keys import Keys

    return signing.sign(store, index, Keys(keys))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
