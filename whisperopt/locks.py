"""Locks that the system lets go of when their holder ends: no process ids, which lie in containers.

Some network file systems grant every lock to everybody. Who relies on one asks whether it `lies`.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Flags to open a file with that somebody may have planted a link in place of."""

_POLL_SECONDS = 0.05
_BEYOND = 2**40
"""Windows keeps others from the bytes that are locked: it is one that no file has."""


def lock(descriptor: int) -> bool:
    """Hold an open file or folder until it is closed; False: somebody else does.

    Raises `OSError` where it cannot be locked at all.
    """
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _BEYOND, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    finally:
        if sys.platform == "win32":
            os.lseek(descriptor, 0, os.SEEK_SET)
    return True


def take(path: Path) -> int | None:
    """Return a descriptor that holds what lies at `path` until it is closed.

    None: it is not there, it is a link, somebody else holds it, or it cannot be locked.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | SAFELY | getattr(os, "O_NONBLOCK", 0))
        with contextlib.suppress(OSError):
            if lock(descriptor):
                return descriptor
        os.close(descriptor)
    return None


def lies(path: Path) -> bool:
    """Say whether a lock that this process holds on `path` keeps nobody else from it."""
    if (second := take(path)) is None:
        return False
    os.close(second)
    return True


@contextlib.contextmanager
def turn(path: Path, seconds: float) -> Iterator[bool]:
    """Yield when nobody else holds the lock file `path`, and hold it while the block lasts.

    After so many `seconds` it yields False. Where there is no lock to be had it yields True at
    once: this is to spare work, and what is done must be safe without.
    """
    descriptor, held = None, True
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | SAFELY, 0o666)
        ends = time.monotonic() + seconds
        while not (held := lock(descriptor)) and time.monotonic() < ends:
            time.sleep(_POLL_SECONDS)
    try:
        yield held
    finally:
        if descriptor is not None:
            os.close(descriptor)
