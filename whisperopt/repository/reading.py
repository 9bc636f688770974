"""Opens a repository: of which kind it is, which versions it has, and where their bytes lie."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from whisperopt.download import transport
from whisperopt.download.transport import Source
from whisperopt.errors import BadInputError, IntegrityError, WhisperoptError
from whisperopt.reasons import because, quoted
from whisperopt.release import catalog as catalogs
from whisperopt.release import store as releases
from whisperopt.release.catalog import Catalog, File
from whisperopt.repository import index as indexes
from whisperopt.repository.index import Blob, Mirror, RepositoryIndex, Version
from whisperopt.trust import client
from whisperopt.trust.client import Trust

Kind: TypeAlias = Literal["build folder", "unsigned repository", "signed repository"]

NO_TRUST = Trust()
"""What is nobody's word: enough for signatures, and for folders of one's own."""

_FIRST_ROOT = "metadata/1.root.json"


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """The version of a model that was asked for."""

    model: str
    name: str
    version: Version
    newer: str = ""
    """The version that the model's name alone means, if that is a higher one."""


def optional(source: Source, path: str, max_bytes: int) -> bytes | None:
    """Return a small file, or None where there is none."""
    try:
        return transport.read(source, path, max_bytes)
    except WhisperoptError as error:
        if client.is_absent(error):
            return None
        raise


def kind_of(source: Source) -> Kind:
    """Say what `source` is, by what it has; what has neither pointer is taken for a build folder."""
    if _is_there(source, _FIRST_ROOT):
        return "signed repository"
    return "unsigned repository" if _is_there(source, indexes.NAME) else "build folder"


def _is_there(source: Source, path: str) -> bool:
    """Say whether there is such a document; some servers answer everything with a page."""
    data = optional(source, path, indexes.MAX_BYTES)
    return data is not None and data.lstrip().startswith(b"{")


def is_repository(folder: Path) -> bool:
    """Say whether `folder` is a repository, and so no release that could be opened as it is."""
    return any((folder / pointer).is_file() for pointer in (_FIRST_ROOT, indexes.NAME))


def opened(source: Source, trust: Trust) -> RepositoryIndex:
    """Read which versions a repository has; IntegrityError as far as `trust` does not go."""
    data = client.verified(source, trust, _key(source))
    return indexes.parse(data, source.where(indexes.NAME))


def believe_build(source: Source, trust: Trust) -> None:
    """Refuse a build folder that somebody else hands out, unless `trust` lets anything do.

    One on this machine needs nothing, unless a repository was there that was signed.
    """
    key, local = _key(source), isinstance(source, transport.DirectorySource)
    if not local or trust.root is not None or client.is_pinned(key):
        client.check_unsigned(source.where(catalogs.NAME), trust, key)


def build_catalog(source: Source) -> Catalog:
    """Read the catalog of a build folder; one on a disk must be whole."""
    if isinstance(source, transport.DirectorySource):
        try:
            releases.check_whole(source.root)
        except OSError as error:
            why = f"{error.strerror}"
            raise BadInputError(because("download.unread", source.root, why=why)) from error
    data = transport.read(source, catalogs.NAME, catalogs.MAX_BYTES)
    catalog = catalogs.parse(data, source.where(catalogs.NAME))
    if not catalog.models:
        raise BadInputError(because("download.no-model", source.where(catalogs.NAME)))
    return catalog


def documents(source: Source, trust: Trust, kind: Kind) -> tuple[Mapping[str, bytes], bytes]:
    """Return the verified metadata of a repository, its pointer last, and its document."""
    if kind == "unsigned repository":
        return {}, client.verified(source, trust, _key(source))
    return client.metadata(source, trust, _key(source))


def _key(source: Source) -> str:
    if isinstance(source, transport.DirectorySource):
        return str(source.root.resolve())
    return source.where("").rstrip("/")


def mirrored(source: Source) -> Mirror | None:
    """Return what the repository at `source` holds, if it is a mirror; None: all of it."""
    data = optional(source, indexes.MIRROR, indexes.MAX_BYTES)
    return None if data is None else indexes.parse_mirror(data, source.where(indexes.MIRROR))


def split(text: str) -> tuple[str, str | None]:
    """Return the model and the version of `MODEL[@VERSION]`."""
    model, mark, version = text.partition("@")
    return model, version if mark else None


def resolve_version(index: RepositoryIndex, model: str, wanted: str | None) -> Resolved:
    """Return the version `wanted` of `model`, by PEP 440.

    The default is the highest one that is neither a pre-release nor withdrawn; either can be asked
    for by name. Raises BadInputError where there is none.
    """
    known, plain = index.versions(model), newest(index, model)
    names = ", ".join(sorted(known, key=indexes.version))
    if wanted is None:
        if not plain:
            raise BadInputError(because("repository.none-plain", quoted(model), known=names))
        return Resolved(model=model, name=plain, version=known[plain])
    asked = indexes.version(wanted)
    name = next((name for name in known if indexes.version(name) == asked), None)
    if name is None:
        facts = {"model": quoted(model), "known": names}
        raise BadInputError(because("repository.not-published", wanted, **facts))
    newer = plain if plain and indexes.version(plain) > asked else ""
    return Resolved(model=model, name=name, version=known[name], newer=newer)


def newest(index: RepositoryIndex, model: str) -> str:
    """Return which version the name of `model` alone means; empty: none."""
    found = {
        indexes.version(name): name
        for name, entry in index.versions(model).items()
        if not entry.withdrawn
    }
    return found[max(plain)] if (plain := [v for v in found if not v.is_prerelease]) else ""


def catalog_of(source: Source, chosen: Resolved) -> Catalog:
    """Read and check the catalog of a version; every file says where in the repository it lies."""
    data = blob(source, chosen.version.catalog, f"{chosen.model}@{chosen.name}")
    return _catalog(source, chosen, data)


def _catalog(source: Source, chosen: Resolved, data: bytes) -> Catalog:
    place = f"{chosen.model}@{chosen.name}"
    catalog = catalogs.parse(data, source.where(chosen.version.catalog.path))
    found = {name: entry.version for name, entry in catalog.models.items()}
    if found != {chosen.model: chosen.name}:
        raise IntegrityError(because("repository.other-catalog", place, found=quoted(str(found))))
    entry = catalog.models[chosen.model]
    variants = tuple(
        msgspec.structs.replace(variant, files=tuple(map(_placed, variant.files)))
        for variant in entry.variants
    )
    entry = msgspec.structs.replace(
        entry, variants=variants, documents=tuple(map(_placed, entry.documents))
    )
    return msgspec.structs.replace(catalog, models={chosen.model: entry})


def contents(
    source: Source, index: RepositoryIndex, mirror: Mirror | None
) -> Iterator[tuple[str, File, bool]]:
    """Yield every blob of every version, `File.at` being its path, with whose it is.

    Last comes whether a `mirror` (None: it is none) is to hold it. The catalog comes first; of one
    that is missing or damaged nothing else is known.
    """
    for model, known in sorted(index.models.items()):
        for name, version in known.versions.items():
            of, last = f"{model}@{name}", version.catalog
            held = mirror is None or mirror.holds(model)
            facts = {"sha256": last.sha256, "at": last.path}
            yield of, File(path=catalogs.NAME, size=last.size, **facts), held
            try:
                data = blob(source, last, of) if held else b""
            except IntegrityError:
                data = b""
            if not data:
                continue
            chosen = Resolved(model=model, name=name, version=version)
            entry = _catalog(source, chosen, data).model(model)
            for variant in entry.variants:
                there = mirror is None or mirror.holds(model, variant.target)
                for file in variant.files:
                    yield f"{of} {variant.name}", file, there
            for file in entry.documents:
                yield of, file, True


def blob(source: Source, wanted: Blob, what: str) -> bytes:
    """Read a small blob and check it; of `what` it is part is said if it is not there."""
    data = optional(source, wanted.path, wanted.size)
    if data is None:
        held = mirrored(source)
        code = "repository.no-blob" if held is None else "repository.not-mirrored"
        raise IntegrityError(because(code, what, blob=source.where(wanted.path)))
    if (found := hashlib.sha256(data).hexdigest()) != wanted.sha256:
        place = source.where(wanted.path)
        raise IntegrityError(because("repository.other-content", place, found=found))
    return data


def _placed(file: File) -> File:
    return msgspec.structs.replace(file, at=indexes.blob_path(file.sha256))
