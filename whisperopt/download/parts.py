"""A file on its way: what has arrived of it stays, and the next who wants it goes on from there.

A part is named by the sha256 that it shall have, and held while somebody works on it. Whoever finds
one that nobody holds takes it over and hashes what is there; where it is held, or where locks lie,
he starts afresh under a name of his own.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from whisperopt import cache, locks
from whisperopt.download import transport
from whisperopt.download.transport import DirectorySource, RangeError, Report, Source
from whisperopt.errors import IntegrityError
from whisperopt.reasons import because
from whisperopt.release.catalog import File

SUFFIX = ".part"

_WRITABLE = os.O_RDWR | os.O_CREAT | locks.SAFELY


class Part:
    """The bytes of a file that have arrived, in a file that this process holds."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path = path
        self.size = 0
        self.copied = False
        """It went to another disk, and stays until it is of no more use."""
        self._stream = stream
        self._hash = hashlib.sha256()
        while chunk := stream.read(2**20):
            self.size += len(chunk)
            self._hash.update(chunk)

    @property
    def sha256(self) -> str:
        """The digest of what is there."""
        return self._hash.hexdigest()

    def add(self, chunk: bytes) -> None:
        """Write what comes next."""
        left = memoryview(chunk)
        while left:  # a disk that is nearly full takes some
            written = self._stream.write(left)
            self._hash.update(left[:written])
            self.size += written
            left = left[written:]

    def clear(self) -> None:
        """Begin again."""
        self._stream.seek(0)
        self._stream.truncate()
        self.size, self._hash = 0, hashlib.sha256()

    def move(self, to: Path) -> None:
        """Put the file where it is wanted; raise `IntegrityError` if another disk gets it wrong."""
        os.fsync(self._stream.fileno())
        if os.name == "nt":
            self._stream.close()  # Windows moves nothing that is open
        try:
            self.path.rename(to)
        except OSError:
            if self.path.stat().st_dev == to.parent.stat().st_dev:
                raise
            shutil.copyfile(self.path, to)
            if (found := cache.sha256(to)) != self.sha256:
                raise IntegrityError(because("download.sha256", to, found=found)) from None
            with to.open("rb+") as copied:
                os.fsync(copied.fileno())
            self.copied = True


@contextlib.contextmanager
def fetched(
    source: Source, path: str, file: File, folder: Path, report: Report | None = None
) -> Iterator[Part]:
    """Yield the part in `folder` that has the bytes of `file`, all there and checked.

    They come from `path` in the `source`, as far as they are not there. It is held until the block
    ends, to be moved away by then; what fails on the way leaves what has arrived, if it is no
    wrong bytes. Raises `IntegrityError`, `NetworkError` or `OSError`.
    """
    with _held(folder, file.sha256) as part:
        if part.size > file.size:
            part.clear()
        seconds = transport.most_seconds(file.size)

        def attempt() -> None:
            _go_on(part, source, path, file.size, report)

        resumed = part.size > 0
        transport.insist(attempt, seconds=seconds, arrived=lambda: part.size)
        if part.sha256 != file.sha256 and (resumed or not isinstance(source, DirectorySource)):
            part.clear()
            transport.insist(attempt, seconds=seconds, arrived=lambda: part.size)
        if (found := part.sha256) != file.sha256:
            part.clear()
            raise IntegrityError(because("download.sha256", source.where(path), found=found))
        yield part


def _go_on(part: Part, source: Source, path: str, size: int, report: Report | None) -> None:
    """Add what is lacking; a server that goes on somewhere else is asked for all of it."""
    try:
        _add(part, source, path, size, report)
    except RangeError:
        part.clear()
        _add(part, source, path, size, report)


def _add(part: Part, source: Source, path: str, size: int, report: Report | None) -> None:
    if part.size == size > 0:  # some servers never end their answer to who asks for nothing
        if report:
            report(size, size)
        return
    with contextlib.closing(source.chunks(path, size, part.size)) as chunks:
        for chunk in chunks:
            if part.size + len(chunk) > size:
                part.clear()
                raise IntegrityError(because("download.too-long", source.where(path), size=size))
            part.add(chunk)
            if report:
                report(part.size, size)


@contextlib.contextmanager
def _held(folder: Path, sha256: str) -> Iterator[Part]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sha256}{SUFFIX}"
    descriptor = _taken(path)
    own = descriptor is None
    if descriptor is None:
        path = folder / f"{sha256}.{uuid.uuid4().hex}{SUFFIX}"
        descriptor = os.open(path, _WRITABLE | os.O_EXCL, 0o666)
    part: Part | None = None
    try:
        with open(descriptor, "r+b", buffering=0) as stream:  # noqa: PTH123  # it is open already
            part = Part(path, stream)
            yield part
            own = own or part.copied
    finally:
        if own or part is None or not part.size:
            with contextlib.suppress(OSError):
                path.unlink()


def _taken(path: Path) -> int | None:
    """Return a descriptor of the part at `path`, old or new, if it is this process's alone."""
    for _ in range(3):
        try:
            descriptor = os.open(path, _WRITABLE, 0o666)
        except OSError:  # a link, a folder or somebody else's; a new name shows what is wrong
            return None
        with contextlib.suppress(OSError):
            if locks.lock(descriptor) and not locks.lies(path):
                there, here = path.stat(follow_symlinks=False), os.fstat(descriptor)
                if (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev):
                    if stat.S_ISREG(here.st_mode) and here.st_nlink == 1:
                        return descriptor
                    os.close(descriptor)
                    return None
                os.close(descriptor)
                continue  # whoever held it was done with it, and moved it away
        os.close(descriptor)
        return None
    return None
