"""Where a repository is written: what every kind of place must do, and folders."""

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from whisperopt import cache
from whisperopt.download import hub
from whisperopt.download.transport import DirectorySource, open_source
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.reasons import because
from whisperopt.release import catalog as catalogs
from whisperopt.release.store import disk_errors
from whisperopt.repository import index as indexes

SIGNED = "metadata/timestamp.json"
"""What points to everything else where a repository is signed; else `repository.json` does."""
LOCK = ".lock"
UNFINISHED = ".new"
OWN = {indexes.NAME, indexes.MIRROR, LOCK, UNFINISHED, "blobs", "metadata"}
_FOLDERS = (UNFINISHED, "blobs", "blobs/sha256", "metadata")
_CHUNK = 2**20

Content: TypeAlias = Path | bytes | Iterable[bytes]
"""What a blob is made of: a file, the bytes themselves, or chunks as they arrive."""


class ChangedError(BadInputError):
    """Somebody else committed meanwhile: read again what there is, and commit on top of it."""


def open_store(repo: str | Path, *, insecure: bool = False) -> "Store":
    """Return the place that a path or an address names, to write into.

    `insecure` allows a registry's plain http beyond this machine.
    """
    scheme, mark, _ = str(repo).partition("://")
    if scheme == hub.SCHEME and mark:
        from whisperopt.repository.hub import HubStore

        return HubStore(str(repo))
    if scheme.lower() == "oci" and mark:
        from whisperopt.repository.oci import OciStore

        return OciStore(str(repo), insecure=insecure)
    if not mark or scheme.lower() == "file":
        source = open_source(repo)
        if isinstance(source, DirectorySource):
            return FolderStore(source.root)
    raise BadInputError(because("repository.read-only", repo))


class Store(Protocol):
    """A repository that can be written; paths in it are relative and use `/`."""

    @property
    def where(self) -> str:
        """The address, as users know it."""

    def writing(self) -> AbstractContextManager[None]:
        """Keep other publishers out meanwhile, as far as such a place can; waits for its turn."""

    def has(self, sha256: str) -> bool:
        """Say whether it holds the blob, as whole as can be told without fetching it."""

    def put(self, sha256: str, content: Content) -> None:
        """Store a blob, whole or not at all; other bytes than `sha256` says: IntegrityError."""

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """Return a file of metadata; None where there is none, IntegrityError for a longer one."""

    def commit(self, files: Mapping[str, bytes], *, after: bytes | None) -> None:
        """Write files of metadata in this order, each of them atomically; the pointer decides.

        Which it is, `pointer_of` says. `after` is what it held
        before; if it is something else by now, nothing is written, and ChangedError is raised.
        """


def pointer_of(files: Mapping[str, bytes]) -> str:
    """Return which file of a commit decides: SIGNED, which new roots may follow, or else the last."""
    return SIGNED if SIGNED in files else list(files)[-1]


class FolderStore:
    """A folder, which any web server can hand out as it is: it is whole at every moment.

    Every file is written beside, synced and renamed. Nothing is ever written through a link.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.root)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock in the folder; whatever a killed publisher did not finish is removed."""
        import filelock

        with disk_errors(self.root):
            self._refuse_others()
            self.root.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.root / LOCK, mode=0o644)
            lock.acquire()
        try:
            with disk_errors(self.root):
                self._refuse_others()
                for left in (self.root / UNFINISHED).glob("*"):
                    left.unlink()
            yield
            with contextlib.suppress(OSError):
                (self.root / UNFINISHED).rmdir()
        finally:
            lock.release()

    def has(self, sha256: str) -> bool:
        """Say whether the blob is there with the bytes that it should have; they are read."""
        path = self.root / indexes.blob_path(sha256)
        with disk_errors(path):
            return path.is_file() and not path.is_symlink() and cache.sha256(path) == sha256

    def put(self, sha256: str, content: Content) -> None:
        """Store a blob."""
        if not indexes.is_sha256(sha256):
            raise IntegrityError(because("repository.sha256", at=sha256))
        with disk_errors(self.root), self._new() as (path, target):
            state = hashlib.sha256()
            for chunk in chunks(content):
                state.update(chunk)
                target.write(chunk)
            if (found := state.hexdigest()) != sha256:
                place = content if isinstance(content, Path) else sha256
                raise IntegrityError(because("repository.other-content", place, found=found))
            self._finish(path, target, indexes.blob_path(sha256))

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """Return a file of metadata."""
        file = self.root / path
        with disk_errors(file):
            if file.is_symlink() or file.parent.is_symlink():
                raise BadInputError(because("release.leads-elsewhere", file))
            if not file.is_file():
                return None
            with file.open("rb") as stream:
                data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise IntegrityError(because("download.longer", file, most=max_bytes))
        return data

    def commit(self, files: Mapping[str, bytes], *, after: bytes | None) -> None:
        """Write metadata; `writing` keeps others out, but where locks lie this still tells."""
        if self.read(pointer_of(files), indexes.MAX_BYTES) != after:
            raise ChangedError(because("repository.changed", self.where))
        for name, content in files.items():
            with disk_errors(self.root), self._new() as (path, target):
                target.write(content)
                self._finish(path, target, name)

    @contextlib.contextmanager
    def _new(self) -> Iterator[tuple[Path, BinaryIO]]:
        """Yield a new file, gone at the end unless `_finish` has put it in place."""
        folder = self.root / UNFINISHED
        folder.mkdir(exist_ok=True)
        path = folder / uuid.uuid4().hex
        try:
            with path.open("xb") as target:
                yield path, target
        finally:
            path.unlink(missing_ok=True)

    def _finish(self, path: Path, target: BinaryIO, name: str) -> None:
        target.flush()
        os.fsync(target.fileno())
        target.close()  # Windows renames nothing that is open
        place = self.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir() and not place.is_symlink():  # nobody reads a blob that is a folder
            shutil.rmtree(place)
        path.replace(place)
        _sync(place.parent)

    def _refuse_others(self) -> None:
        """Refuse a folder that is something else, or leads elsewhere."""
        if self.root.exists() and not self.root.is_dir():
            raise BadInputError(because("release.file", self.root))
        if not self.root.is_dir():
            return
        for name in _FOLDERS:
            if (self.root / name).is_symlink():
                raise BadInputError(because("release.leads-elsewhere", self.root / name))
        names = {path.name for path in self.root.iterdir()}
        if catalogs.NAME in names:
            raise BadInputError(because("repository.build-folder", self.root))
        pointer = indexes.NAME in names or (self.root / SIGNED).is_file()
        if not pointer and (others := names - OWN):
            raise BadInputError(because("repository.foreign", self.root, file=min(others)))


def chunks(content: Content) -> Iterator[bytes]:
    """Yield the bytes of a blob in pieces."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    else:
        yield from [content] if isinstance(content, bytes) else content


def _sync(folder: Path) -> None:
    """Make sure that a rename outlives a loss of power, where a system offers that."""
    with contextlib.suppress(OSError):  # Windows opens no folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
