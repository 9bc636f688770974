"""A repository in an OCI registry: blobs by their digest, and all metadata behind one tag."""

import hashlib
import re
from collections.abc import Generator

import msgspec

from whisperopt import documents
from whisperopt.download import transport
from whisperopt.download.login import is_loopback
from whisperopt.errors import BadInputError, IntegrityError, NetworkError
from whisperopt.reasons import because, quoted
from whisperopt.release import catalog as catalogs

TAG = "whisperopt"
"""Of the manifest whose layers are the metadata: to move it is to commit."""
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
TITLE = "org.opencontainers.image.title"
MAX_BYTES = 4 * 2**20
"""Of a manifest: registries take no longer ones."""

_ADDRESS = re.compile(r"oci://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?/(.+?)/*", re.IGNORECASE)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_LONGEST_NAME = 255
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BLOBS = "blobs/sha256/"
_TITLE = re.compile(rf"(?:metadata/)?[A-Za-z0-9][A-Za-z0-9._-]{{0,127}}|{_BLOBS}[0-9a-f]{{64}}")


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a manifest says of a blob, or an index of a manifest."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}
    artifact_type: str = ""
    platform: dict[str, str] = {}


class _Manifest(msgspec.Struct, frozen=True):
    layers: tuple[Descriptor, ...]


def api(repo: str, *, insecure: bool = False) -> str:
    """Return the URL below which the registry answers for `oci://host[:port]/name`.

    That is http on this machine, or anywhere if that is `insecure`, and else https.
    """
    found = _ADDRESS.fullmatch(repo)
    if not found or not _NAME.fullmatch(found[3]) or len(found[3]) > _LONGEST_NAME:
        raise BadInputError(because("oci.address", repo.rpartition("@")[2]))
    host, port = found[1].lower(), found[2] or ""
    scheme = "http" if insecure or is_loopback(host) else "https"
    return f"{scheme}://{host}{port}/v2/{found[3]}"


class OciSource:
    """A repository as it was when its metadata was first read: later commits change nothing."""

    def __init__(self, repo: str, *, insecure: bool = False, writes: bool = False) -> None:
        self.web = transport.HttpSource(
            api(repo, insecure=insecure),
            insecure=insecure,
            accept=f"{MANIFEST}, {INDEX}, */*",
            writes=writes,
        )
        self.root = repo.rstrip("/")
        self._metadata: dict[str, Descriptor] | None = None

    def where(self, path: str) -> str:
        """Return an address for people; the registry has another for each blob."""
        return f"{self.root}/{path}"

    def chunks(
        self, path: str, size: int | None = None, start: int = 0
    ) -> Generator[bytes, None, None]:
        """Yield the bytes of a blob as they come, or of a file of metadata that was checked."""
        if path.startswith(_BLOBS):
            digest = f"sha256:{path.removeprefix(_BLOBS)}"
            if not _DIGEST.fullmatch(digest):
                raise IntegrityError(because("oci.digest", self.where(path)))
            yield from self.web.chunks(f"blobs/{digest}", size, start)
            return
        entry = self.metadata().get(path)
        if entry is None:
            raise NetworkError(because("download.404", self.where(path)))
        data = transport.read_once(self.web, f"blobs/{entry.digest}", entry.size)
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != entry.digest:
            raise IntegrityError(because("oci.other-bytes", self.where(path), digest=entry.digest))
        yield data[start:]

    def metadata(self, *, anew: bool = False) -> dict[str, Descriptor]:
        """Return the files behind the tag, by path; NetworkError where there is no such tag.

        They are those of the first time, unless they are asked for `anew`.
        """
        if self._metadata is None or anew:
            self._metadata = self._ask()
        return self._metadata

    def _ask(self) -> dict[str, Descriptor]:
        try:
            data = transport.read_once(self.web, f"manifests/{TAG}", MAX_BYTES)
        except NetworkError as error:
            if error.reason.code == "download.404":
                raise NetworkError(because("oci.none", self.root, tag=TAG)) from None
            if error.reason.values.get("status") == 403:  # of a bucket it may mean the same
                raise NetworkError(because("oci.forbidden", self.root)) from error
            raise
        return parse(data, self.where(TAG))


def parse(data: bytes, source: str) -> dict[str, Descriptor]:
    """Read a manifest that may come from anywhere; return the files of metadata, by their path."""
    try:
        layers = documents.decoded(data, _Manifest, documents.IMAGE).layers
    except documents.UnfitError as error:
        raise IntegrityError(because("oci.manifest", source, why=str(error))) from None
    found: dict[str, Descriptor] = {}
    for layer in layers:
        path = layer.annotations.get(TITLE, "")
        if not (_DIGEST.fullmatch(layer.digest) and 0 <= layer.size <= catalogs.MAX_BYTES):
            raise IntegrityError(because("oci.digest", source))
        if path in found or not _TITLE.fullmatch(path):
            raise IntegrityError(because("oci.title", source, title=quoted(path)))
        found[path] = layer
    return found
