"""`repository.json`: which versions of which models a repository holds."""

import re
from collections.abc import Iterator
from typing import Annotated, TypeVar

import msgspec
from packaging.version import InvalidVersion
from packaging.version import Version as Pep440

from whisperopt import documents
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.reasons import Reason, because, places_of_control, quoted
from whisperopt.release import catalog as catalogs

NAME = "repository.json"
MIRROR = "mirror.json"
"""What of its models a mirror holds."""
SCHEMA = "1.0"
SCHEMA_MAJOR = "1"
MAX_BYTES = 5_000_000
MAX_TEXT = 1000
_LONGEST_VERSION = 64
_SHA256 = re.compile(r"[0-9a-f]{64}")

_Document = TypeVar("_Document")

Serial = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class Blob(msgspec.Struct, frozen=True):
    """Bytes that a repository keeps under their sha256."""

    sha256: str
    size: catalogs.Bytes

    @property
    def path(self) -> str:
        """Where they lie in the repository."""
        return blob_path(self.sha256)


class Version(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of one model, which never changes but for being withdrawn."""

    serial: Serial
    """Of the commit that brought it."""
    created: Text
    """When it was published: ISO 8601, UTC."""
    catalog: Blob
    """A `catalog.json` with this model alone."""
    withdrawn: Text = ""
    """Why nobody should take it any more."""


class ModelVersions(msgspec.Struct, frozen=True):
    """What there is of one model, by version."""

    versions: dict[str, Version]


class RepositoryIndex(msgspec.Struct, frozen=True, kw_only=True):
    """What a repository holds."""

    schema: str = SCHEMA
    name: str
    serial: Serial
    """Grows by one with every commit."""
    created: Text
    """When it was committed: ISO 8601, UTC."""
    models: dict[str, ModelVersions] = {}

    def versions(self, model: str) -> dict[str, Version]:
        """Return what there is of `model`, by version."""
        if model not in self.models:
            known = ", ".join(sorted(self.models))
            raise BadInputError(because("repository.no-model", quoted(model), known=known))
        return self.models[model].versions


class Mirror(msgspec.Struct, frozen=True, kw_only=True):
    """What a mirror holds of a repository; it is never signed, and nothing is trusted for it."""

    schema: str = SCHEMA
    source: Text
    """Where it was copied from."""
    index: Blob
    """The `repository.json` that it was copied with."""
    models: tuple[str, ...] | None = None
    """None: all."""
    targets: tuple[str, ...] | None = None
    """None: all."""

    def holds(self, model: str, target: str | None = None) -> bool:
        """Say whether it holds `model`, and its variants for `target`."""
        named = self.models is None or model in self.models
        return named and (target is None or self.targets is None or target in self.targets)


def blob_path(sha256: str) -> str:
    """Return where the bytes with this digest lie in a repository."""
    return f"blobs/sha256/{sha256}"


def is_sha256(text: str) -> bool:
    """Say whether `text` is a digest, in the one way in which repositories write them."""
    return _SHA256.fullmatch(text) is not None


def version(text: str) -> Pep440:
    """Read a version by PEP 440; raises BadInputError for what is none."""
    try:
        return Pep440(text if len(text) <= _LONGEST_VERSION else "")
    except InvalidVersion:
        raise BadInputError(because("repository.no-version", quoted(text))) from None


def encode(document: RepositoryIndex | Mirror) -> bytes:
    """Return the text of a document; equal ones make equal bytes."""
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=1) + b"\n"


def parse(data: bytes, source: str) -> RepositoryIndex:
    """Read and check a document that may come from anywhere.

    A newer minor schema is read as far as it is known. Raises IntegrityError, which names the key.
    """
    index = _decoded(data, source, RepositoryIndex)
    for holds, unless in _checks(index):
        if not holds:
            raise IntegrityError(msgspec.structs.replace(unless, place=source))
    return index


def parse_mirror(data: bytes, source: str) -> Mirror:
    """Read and check what a mirror says of itself."""
    found = _decoded(data, source, Mirror)
    if not is_sha256(found.index.sha256):
        raise IntegrityError(because("repository.sha256", source, at="index"))
    return found


def _decoded(data: bytes, source: str, form: type[_Document]) -> _Document:
    if len(data) > MAX_BYTES:
        raise IntegrityError(because("download.longer", source, most=MAX_BYTES))
    try:
        documents.check(data, documents.INDEX)
        if at := next(places_of_control(documents.converted(data, object)), None):
            raise IntegrityError(because("repository.control-character", source, at=at))
        schema = documents.converted(data, _Schema).schema
        if schema.split(".")[0] != SCHEMA_MAJOR:
            values = {"found": quoted(schema), "known": SCHEMA_MAJOR}
            raise IntegrityError(because("repository.schema", source, **values))
        return documents.converted(data, form)
    except documents.UnfitError as error:
        raise IntegrityError(because("repository.unread", source, why=str(error))) from None


class _Schema(msgspec.Struct):
    schema: str


def _checks(index: RepositoryIndex) -> Iterator[tuple[bool, Reason]]:
    """Yield whether what must hold of an index does, and the reason if not."""
    for model, known in index.models.items():
        is_plain = catalogs.is_model_name(model)
        yield is_plain, because("catalog.model-name", name=quoted(model))
        seen: set[Pep440] = set()
        for name, entry in known.versions.items():
            at = f"models.{model}"
            found = _read(name)
            yield found is not None, because("repository.odd-version", at=at, name=quoted(name))
            yield found not in seen, because("repository.version-twice", at=at, name=quoted(name))
            seen |= {found} if found else set()
            at = f"{at}.versions.{name}"
            yield is_sha256(entry.catalog.sha256), because("repository.sha256", at=at)
            yield entry.serial <= index.serial, because("repository.serial", at=at)


def _read(name: str) -> Pep440 | None:
    """Return the version, if it is one and is written as PEP 440 normalizes it."""
    try:
        found = version(name)
    except BadInputError:
        return None
    return found if str(found) == name else None
