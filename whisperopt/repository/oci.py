"""Writes a repository into an OCI registry, in the order that leaves it whole at every moment.

Blobs go first, then a manifest for each variant and one for the documents of a version, each with
a tag of its own, the index of the version, and last the tag `whisperopt`, which decides. Every blob
lies in a tagged manifest: that is what registries keep when they collect garbage.
"""

import contextlib
import hashlib
import itertools
import re
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import msgspec

from whisperopt import cache, documents
from whisperopt.download import transport
from whisperopt.download.oci import INDEX, MANIFEST, MAX_BYTES, TAG, Descriptor, OciSource
from whisperopt.download.transport import PassingError, insist, most_seconds
from whisperopt.errors import IntegrityError, NetworkError
from whisperopt.reasons import because, quoted
from whisperopt.release import catalog as catalogs
from whisperopt.release.store import disk_errors
from whisperopt.repository import images
from whisperopt.repository import index as indexes
from whisperopt.repository.index import Blob
from whisperopt.repository.store import ChangedError, Content, pointer_of

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_THERE = (200, 302, 307)
"""What a registry says of a blob that it has, or that lies in its bucket."""
_MOST_SAID = 2**16
_TARGETS = re.compile(r"metadata/(?:([0-9]{1,15})\.)?targets\.json")


class _Hashes(msgspec.Struct):
    sha256: str


class _Target(msgspec.Struct):
    hashes: _Hashes
    length: int


class _Listed(msgspec.Struct):
    targets: dict[str, _Target]


class _Targets(msgspec.Struct):
    """What is read of TUF's `targets.json`."""

    signed: _Listed


class OciStore:
    """A repository in a registry."""

    def __init__(self, repo: str, *, insecure: bool = False) -> None:
        self._source = OciSource(repo, insecure=insecure, writes=True)

    @property
    def where(self) -> str:
        """The address."""
        return self._source.root

    def writing(self) -> AbstractContextManager[None]:
        """Keep nobody out, for a registry has no locks: `commit` tells who was slower."""
        return contextlib.nullcontext()

    def has(self, sha256: str) -> bool:
        """Say whether the registry holds the blob."""
        return insist(lambda: self._has(sha256), seconds=most_seconds(0))

    def put(self, sha256: str, content: Content) -> None:
        """Upload a blob; an upload that breaks off is started afresh."""
        if not isinstance(content, Path | bytes):
            with tempfile.TemporaryDirectory() as folder, disk_errors(Path(folder)):
                path = Path(folder, sha256)
                with path.open("xb") as stream:
                    stream.writelines(content)
                self.put(sha256, path)
            return
        if isinstance(content, Path):
            found, size = cache.sha256(content), content.stat().st_size
        else:
            found, size = hashlib.sha256(content).hexdigest(), len(content)
        if found != sha256:
            place = content if isinstance(content, Path) else sha256
            raise IntegrityError(because("repository.other-content", place, found=found))
        tries = itertools.count()

        def upload() -> None:
            if next(tries) == 0 or not self._has(sha256):  # what broke off may have arrived
                self._upload(sha256, content, size)

        insist(upload, seconds=most_seconds(size))

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """Return a file of metadata as it is now, or a small blob."""
        if not path.startswith("blobs/") and path not in self._layers():
            return None
        try:
            return self._read(path, max_bytes)
        except NetworkError as error:
            if error.reason.code == "download.404":
                return None
            raise

    def commit(self, files: Mapping[str, bytes], *, after: bytes | None) -> None:
        """Make `files` the metadata, beside what was there and is not among them.

        Of two who commit within the same moment the later one counts, and the other is told.
        """
        held = self._layers()
        pointer = pointer_of(files)
        before = self._read(pointer, indexes.MAX_BYTES) if pointer in held else None
        layers = {path: layer for path, layer in held.items() if not path.startswith("blobs/")}
        for path, data in files.items():
            sha256 = hashlib.sha256(data).hexdigest()
            self.put(sha256, data)
            layers[path] = images.layer(path, sha256, len(data))
        if not self.has(empty := hashlib.sha256(images.EMPTY).hexdigest()):
            self.put(empty, images.EMPTY)
        if document := self._document(layers):
            index = indexes.parse(self._blob(document), self.where)
            for model, known in index.models.items():
                for version, entry in known.versions.items():
                    new = entry.serial == index.serial and indexes.MIRROR not in layers
                    self._keep(model, version, entry.catalog, new=new)
            if indexes.NAME not in layers:
                layers[document.path] = images.layer(document.path, document.sha256, document.size)
        if before != after or self._layers() != held:
            raise ChangedError(because("repository.changed", self.where))
        self._push(TAG, MANIFEST, images.image("repository", layers.values())[0])
        if self._layers() != layers:
            raise ChangedError(because("repository.changed", self.where))

    def _layers(self) -> dict[str, Descriptor]:
        """Ask which files of metadata there are now."""
        try:
            return insist(
                lambda: self._source.metadata(anew=True), seconds=most_seconds(MAX_BYTES)
            )
        except NetworkError as error:
            if error.reason.code == "oci.none":
                return {}
            raise

    def _read(self, path: str, max_bytes: int) -> bytes:
        return transport.read(self._source, path, max_bytes)

    def _blob(self, blob: Blob) -> bytes:
        data = self._read(blob.path, blob.size)
        if (found := hashlib.sha256(data).hexdigest()) != blob.sha256:
            place = self._source.where(blob.path)
            raise IntegrityError(because("repository.other-content", place, found=found))
        return data

    def _document(self, layers: Mapping[str, Descriptor]) -> Blob | None:
        """Return `repository.json` as the newest metadata names it."""
        signed = [
            (int(named[1] or 0), path) for path in layers if (named := _TARGETS.fullmatch(path))
        ]
        if not signed and indexes.NAME not in layers:
            return None
        layer = layers[max(signed)[1] if signed else indexes.NAME]
        found = Blob(layer.digest.removeprefix("sha256:"), layer.size)
        if not signed:
            return found
        try:
            listed = documents.decoded(self._blob(found), _Targets, documents.INDEX).signed.targets
        except documents.UnfitError as error:
            raise IntegrityError(because("oci.manifest", self.where, why=str(error))) from None
        target = listed.get(indexes.NAME)
        return Blob(target.hashes.sha256, target.length) if target else None

    def _keep(self, model: str, version: str, catalog: Blob, *, new: bool) -> None:
        """Tag what belongs to a version, as far as it is there; of a `new` one that is all.

        The index goes last, and says for which catalog it is where nothing lacks.
        """
        name, said = images.tag(model, version), images.about(catalog=f"sha256:{catalog.sha256}")
        if self._said(name) == said or (not new and not self.has(catalog.sha256)):
            return
        data = self._blob(catalog)
        entry = catalogs.parse(data, self._source.where(catalog.path)).model(model)
        tagged = {images.tag(model, version, v.name): images.of_variant(v) for v in entry.variants}
        tagged[f"{name}_documents"] = images.of_documents(entry, catalog)
        kept = []
        for place, (image, described) in tagged.items():
            try:
                self._push(place, MANIFEST, image)
                kept.append(described)
            except NetworkError as error:
                if new or "BLOB_UNKNOWN" not in str(error.reason.values.get("why")):
                    raise
        self._push(name, INDEX, images.release(kept, said if len(kept) == len(tagged) else {}))

    def _said(self, name: str) -> object:
        """Return the annotations of the manifest with this tag."""
        try:
            data = transport.read(self._source.web, f"manifests/{name}", MAX_BYTES)
            return documents.decoded(data, dict, documents.IMAGE).get("annotations")
        except documents.UnfitError:
            return None
        except NetworkError as error:
            if error.reason.code == "download.404":
                return None
            raise

    def _push(self, name: str, kind: str, data: bytes) -> None:
        """Give a manifest a tag."""
        digest, place, headers = images.digest(data), f"manifests/{name}", {"Content-Type": kind}
        done = insist(
            lambda: self._ask("PUT", place, (201,), headers, data), seconds=most_seconds(len(data))
        )
        if (found := done.headers.get("Docker-Content-Digest", digest)) != digest:
            values = {"digest": digest, "found": quoted(found)}
            raise IntegrityError(because("oci.rewritten", self._source.where(name), **values))

    def _has(self, sha256: str) -> bool:
        return self._ask("HEAD", f"blobs/sha256:{sha256}", (*_THERE, 404)).status in _THERE

    def _upload(self, sha256: str, content: Path | bytes, size: int) -> None:
        begun = self._ask("POST", "blobs/uploads/", (202,), {"Content-Length": "0"})
        uploads = f"{self._source.web.root}/blobs/uploads/"
        there = begun.headers.get("Location", "")
        try:
            there = urljoin(uploads, there)
            mine = urljoin(there, "/") == urljoin(uploads, "/")
        except ValueError:  # no address
            mine = False
        if not mine:  # nobody else was named by the user
            raise NetworkError(because("oci.elsewhere", uploads, to=quoted(there)))
        there += f"{'&' if '?' in there else '?'}digest=sha256:{sha256}"
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        self._ask("PUT", there, (201,), headers, content)

    def _ask(
        self,
        method: str,
        place: str,
        expected: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
        body: bytes | Path | None = None,
    ) -> "BaseHTTPResponse":
        """Ask once; an answer that was not expected is a NetworkError with the registry's code."""
        from urllib3.exceptions import HTTPError

        from whisperopt.download.connection import Watch

        url = urljoin(f"{self._source.web.root}/", place)
        where = url.partition("?")[0]
        seconds = most_seconds(int((headers or {}).get("Content-Length", _MOST_SAID)))
        with Watch(where, seconds=seconds, window=seconds, rate=0) as watch, watch.asking():
            try:
                response = self._source.web.ask(method, url, headers, body)
                data = response.read(_MOST_SAID, decode_content=False)
                response.close()
            except HTTPError as error:
                why = transport.cause(error)
                reason = watch.why or because("download.unreached", where, why=why)
                raise PassingError(reason) from error
        if response.status in expected:
            return response
        if response.status in transport.TRY_LATER:
            reason = because("download.status", where, status=response.status)
            raise PassingError(reason, pause=transport.asked_pause(response))
        said = b", ".join(re.findall(rb'"code":\s*"([A-Z_]{1,40})"', data)).decode()
        raise NetworkError(because("oci.refused", where, status=response.status, why=said))
