"""Puts small releases into a store, as publishing does, and looks at what readers get."""

import hashlib
from pathlib import Path

import msgspec

from tests.selection import releases
from whisperopt.download import transport
from whisperopt.download.oci import OciSource
from whisperopt.release import catalog as catalogs
from whisperopt.release.catalog import Catalog, File
from whisperopt.repository import index as indexes
from whisperopt.repository.index import Blob, ModelVersions, RepositoryIndex, Version
from whisperopt.repository.store import Store

CREATED = "2026-01-01T00:00:00Z"
MODEL = releases.MODEL


def release(folder: Path, *names: str, report: bytes = b"{}") -> Catalog:
    """Write a build folder with one report; return its catalog as a version has it."""
    catalog = releases.write_release(folder, *names)
    (folder / "report.json").write_bytes(report)
    documents = (catalogs.describe(folder / "report.json"),)
    entry = msgspec.structs.replace(catalog.models[MODEL], documents=documents)
    return msgspec.structs.replace(catalog, models={MODEL: entry})


def files(folder: Path, catalog: Catalog) -> dict[str, Path]:
    """Return where the bytes of a version lie, by their sha256."""
    entry = catalog.models[MODEL]
    found = {f.sha256: folder / v.lies(f) for v in entry.variants for f in v.files}
    return found | {file.sha256: folder / file.path for file in entry.documents}


def index_with(
    version: str, catalog: bytes, before: RepositoryIndex | None = None
) -> RepositoryIndex:
    """Return an index with one more version."""
    serial = before.serial + 1 if before else 1
    blob = Blob(hashlib.sha256(catalog).hexdigest(), len(catalog))
    known = dict(before.versions(MODEL)) if before else {}
    known[version] = Version(serial=serial, created=CREATED, catalog=blob)
    models = {MODEL: ModelVersions(known)}
    return RepositoryIndex(name="models", serial=serial, created=CREATED, models=models)


def publish(store: Store, folder: Path, catalog: Catalog, version: str) -> RepositoryIndex:
    """Publish a version: blobs, its catalog, and then what points to it."""
    before = store.read(indexes.NAME, indexes.MAX_BYTES)
    for sha256, path in files(folder, catalog).items():
        if not store.has(sha256):
            store.put(sha256, path)
    data = catalogs.encode(catalog)
    if not store.has(hashlib.sha256(data).hexdigest()):
        store.put(hashlib.sha256(data).hexdigest(), data)
    known = indexes.parse(before, store.where) if before else None
    index = index_with(version, data, known)
    store.commit({indexes.NAME: indexes.encode(index)}, after=before)
    return index


def listed(repo: str) -> list[str]:
    """Return the versions that a reader sees."""
    data = transport.read(OciSource(repo), indexes.NAME, indexes.MAX_BYTES)
    return sorted(indexes.parse(data, repo).versions(MODEL))


def versions(repo: str) -> list[str]:
    """Return the versions that a reader sees, each of them whole."""
    source = OciSource(repo)
    index = indexes.parse(transport.read(source, indexes.NAME, indexes.MAX_BYTES), repo)
    for known in index.versions(MODEL).values():
        catalog = catalogs.parse(blob(source, known.catalog.sha256, known.catalog.size), repo)
        entry = catalog.models[MODEL]
        for file in [*entry.documents, *(f for v in entry.variants for f in v.files)]:
            held(source, file)
    return sorted(index.versions(MODEL))


def held(source: OciSource, file: File) -> bytes:
    """Return the bytes of a file that a catalog names."""
    return blob(source, file.sha256, file.size)


def blob(source: OciSource, sha256: str, size: int) -> bytes:
    data = transport.read(source, indexes.blob_path(sha256), size)
    assert hashlib.sha256(data).hexdigest() == sha256
    return data
