"""Makes of a model in a build folder what is published of it: one catalog, and its blobs."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from whisperopt import artifact, cache
from whisperopt.artifact import Manifest
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.matrix import Matrix
from whisperopt.reasons import because
from whisperopt.release import catalog as catalogs
from whisperopt.release import layout
from whisperopt.release import report as reports
from whisperopt.release import store as releases
from whisperopt.release.catalog import Catalog, File, ModelEntry, Variant
from whisperopt.release.documents import documents as told
from whisperopt.release.publication import Publication
from whisperopt.repository.index import Blob
from whisperopt.results import folder as folders
from whisperopt.results import grading as gradings
from whisperopt.results import overlay as overlays
from whisperopt.results import overlay_folder, projections
from whisperopt.results.validation import Change, verdict_changes


class Item(NamedTuple):
    """One blob to be."""

    content: Path | bytes
    size: int
    what: str
    """Whose it is, for people."""


class Prepared(NamedTuple):
    """One version of one model."""

    catalog: Blob
    blobs: dict[str, Item]
    """By their sha256; the catalog comes last."""
    changes: tuple[Change, ...]
    """What the raw samples say otherwise than the build folder's catalog."""


class Origin(NamedTuple):
    """What versions are made of."""

    release: Path
    """A build folder."""
    content: Catalog
    """Of the build folder."""
    overlay: Path | None
    """What machines found out about it, if that is to be told, too."""
    matrix: Matrix


def prepared(origin: Origin, model: str, version: str) -> Prepared:
    """Return what is to be published as `version` of `model`.

    Its verdicts and numbers are computed from the raw samples, as whoever writes a release does.
    Equal releases make equal bytes. Raises IntegrityError for answers with other bytes.
    """
    release, content, overlay, matrix = origin
    entry, beside = content.model(model), dict[str, Path]()
    if overlay is not None:
        entry = overlays.folded(content, overlay).model(model)
        if entry == content.model(model):
            raise BadInputError(because("repository.nothing-found", overlay, model=model))
        beside = overlay_folder.files(content, overlay)
    grading = gradings.read(model, entry, matrix, *_places(origin, entry.checkpoint))
    results = [grading.replay(v, *_places(origin, v.digest)) for v in entry.variants]
    blobs: dict[str, Item] = {}
    documents: dict[str, File] = {}
    for variant in entry.variants:
        places = releases.places(release, variant)
        for file in variant.files:
            blobs[file.sha256] = _item(places[file.path], file, variant.name)
    for path, file in _named(entry).items():
        documents[path] = msgspec.structs.replace(file, path=path)
        blobs[file.sha256] = _item(_place(beside.get(path, release / path), path), file, path)

    def add(path: str, data: bytes) -> None:
        file = File(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        documents[path], blobs[file.sha256] = file, Item(data, len(data), path)

    for proof in (proof for result in results for proof in result.proofs if proof.evidence):
        add(proof.report, msgspec.json.encode(proof.evidence) + b"\n")  # the very ones judged
    publication = Publication(
        model=model,
        entry=msgspec.structs.replace(
            entry,
            version=version,
            variants=layout.apart(map(projections.catalog_variant, results)),
            documents=tuple(documents.values()),
        ),
        manifests={variant.name: _manifest(release, variant) for variant in entry.variants},
        report=reports.read(release),
        matrix=matrix,
    )
    for path, data in told(publication).items():
        add(path, data)
    published = msgspec.structs.replace(
        publication.entry, documents=tuple(documents[path] for path in sorted(documents))
    )
    catalog = Catalog(
        created=content.created, device_order=content.device_order, models={model: published}
    )
    data = catalogs.encode(catalog)
    catalogs.parse(data, str(release))  # nobody could read it otherwise
    sha256 = hashlib.sha256(data).hexdigest()
    blobs.pop(sha256, None)
    blobs[sha256] = Item(data, len(data), f"{model} {version}")
    changes = tuple(verdict_changes(model, content.model(model), published, set()))
    return Prepared(Blob(sha256, len(data)), blobs, changes)


def _places(origin: Origin, digest: str) -> Iterator[Path]:
    """Yield where samples and answers of what has this `digest` may lie."""
    if origin.overlay is not None:
        yield overlays.place(origin.overlay, digest)
    yield origin.release


def _manifest(release: Path, variant: Variant) -> Manifest:
    """Return what `artifact.json` says, of whose bytes nobody else is sure yet."""
    sums = {file.path: file.sha256 for file in variant.files}
    place = releases.places(release, variant).get(artifact.MANIFEST)
    if place is None:
        raise IntegrityError(because("download.no-manifest", variant.path, file=artifact.MANIFEST))
    if (found := cache.sha256(place)) != sums[artifact.MANIFEST]:
        raise IntegrityError(because("repository.other-content", place, found=found))
    return artifact.read(place.parent).manifest


def _named(entry: ModelEntry) -> dict[str, File]:
    """Return the documents whose digests the catalog has, by their paths in a release."""
    heard = [file for answers in entry.answers for file in (answers.document, answers.references)]
    named = {file.path: file for file in entry.documents}
    return named | {f"{folders.EVIDENCE}/{file.path}": file for file in heard}


def _place(place: Path, path: str) -> Path:
    """Return where the document `path` of a release lies; links to folders lead elsewhere."""
    for folder in place.parents[: path.count("/")]:
        if folder.is_symlink():
            raise BadInputError(because("release.link", folder))
    return place


def _item(place: Path, file: File, what: str) -> Item:
    """Return a file of the release; its bytes are compared when they are copied."""
    if not place.is_file():
        raise BadInputError(because("download.no-file", place.parent, file=place.name))
    if (found := place.stat().st_size) != file.size:
        raise IntegrityError(because("repository.other-size", place, found=found, size=file.size))
    return Item(place, file.size, what)
