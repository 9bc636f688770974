"""The client's side of TUF: brings what is known of a repository up to date, verified."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, Root, Snapshot
from tuf.ngclient import FetcherInterface, TargetFile, Updater

from whisperopt.errors import IntegrityError, WhisperoptError
from whisperopt.reasons import because
from whisperopt.repository.index import MAX_BYTES, NAME, blob_path, is_sha256
from whisperopt.repository.store import SIGNED
from whisperopt.trust import client, roots
from whisperopt.trust.faults import LIMITS, as_reasons

if TYPE_CHECKING:
    from whisperopt.download.transport import Source


class _Fetcher(FetcherInterface):
    """Lets TUF read through a source; what that raises stays what it is."""

    def __init__(self, source: "Source") -> None:
        self._source = source

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            with closing(self._source.chunks(url)) as chunks:
                yield from chunks
        except WhisperoptError as error:
            if client.is_absent(error):
                raise DownloadHTTPError(error.problem, 404) from error
            raise


def update(source: "Source", anchor: bytes, folder: Path) -> bytes:
    """Return the document that the roots from `anchor` on lead to; `folder` keeps the state."""
    folder.mkdir(parents=True, exist_ok=True)
    fetcher = _Fetcher(source)
    with as_reasons(source.where("metadata")):
        updater = Updater(
            str(folder), "metadata/", fetcher=fetcher, config=LIMITS, bootstrap=anchor
        )
        target = updater.get_targetinfo(NAME)
        if target is None or not _is_usable(target):
            raise IntegrityError(because("trust.no-document", source.where("metadata")))
        sha256 = target.hashes["sha256"]
        document = remembered(folder)
    path = blob_path(sha256)
    with as_reasons(source.where(path)):
        if document is None or hashlib.sha256(document).hexdigest() != sha256:
            document = fetcher.download_bytes(path, target.length)
        target.verify_length_and_hashes(document)
    client.write(folder / NAME, f"{sha256}\n".encode() + document)
    return document


def remembered(folder: Path) -> bytes | None:
    """Return the document that `update` found last, if it is there as it was.

    Its digest lies before it: what else lies there may be newer, where an update went wrong.
    """
    try:
        sha256, _, document = (folder / NAME).read_bytes().partition(b"\n")
    except OSError:
        return None
    return document if hashlib.sha256(document).hexdigest().encode() == sha256 else None


def metadata(source: "Source", folder: Path) -> Mapping[str, bytes]:
    """Return the files of metadata of which `folder` keeps the newest, the pointer last."""
    from whisperopt.download import transport

    def kept(name: str) -> bytes:
        return (folder / name).read_bytes()

    with as_reasons(source.where("metadata")):
        newest = Metadata[Root].from_bytes(kept("root.json")).signed.version
        snapshot = Metadata[Snapshot].from_bytes(kept("snapshot.json")).signed
        files = {}
        for version in range(1, newest + 1):  # those before the first that is known are raw
            path = folder / "root_history" / f"{version}.root.json"
            name = roots.path(version)
            files[name] = (
                path.read_bytes()
                if path.is_file()
                else transport.read(source, name, LIMITS.root_max_length)
            )
        targets = snapshot.meta["targets.json"].version
        files[f"metadata/{targets}.targets.json"] = kept("targets.json")
        files[f"metadata/{snapshot.version}.snapshot.json"] = kept("snapshot.json")
        return files | {SIGNED: kept("timestamp.json")}


def is_root(data: bytes) -> bool:
    """Say whether `data` is a root that enough of its own keys have signed."""
    try:
        root = Metadata[Root].from_bytes(data)
        root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
    except Exception:  # noqa: BLE001  # a foreign parser over foreign bytes
        return False
    return root.signed.type == Root.type


def _is_usable(target: TargetFile) -> bool:
    return 0 < target.length <= MAX_BYTES and is_sha256(target.hashes.get("sha256", ""))
