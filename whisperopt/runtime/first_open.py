"""The first time that an artifact is opened on a host: in a process of its own, which it may end.

A runtime or driver may hang, abort or compute wrong values. What passed once is known by its files,
this host's hardware, drivers and runtimes, and is not tried again until one of them changes. So is
what a runtime prepared meanwhile: a folder that it filled while it opened the artifact. From that
it opens again only as it was left, byte for byte, and for good only if that session passes, too.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

import msgspec

from whisperopt import artifact as artifacts
from whisperopt import cache, matrix, process, registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Backend, Session
from whisperopt.cache import Stamp
from whisperopt.errors import BadInputError, WhisperoptError, others_as
from whisperopt.host import Gpu, fingerprint, usable_cores
from whisperopt.process import Failure
from whisperopt.reasons import because

LIMIT = "WHISPEROPT_OPEN_SECONDS"
"""The variable that says how long the first opening may take."""
KEPT = "WHISPEROPT_PREPARED_MB"
"""The variable that says how many megabytes of prepared files are kept; 0 keeps none."""

_SECONDS = 900  # a GPU's engines are built then
_DAY = 24 * 60 * 60
_LEAST_BYTES, _CORE_BYTES, _TIMES = 4 << 30, 32 << 20, 8
"""The memory that an opening may take: this, so much for each core, so often the artifact's size.

Opening and testing `tiny.en` takes half a gigabyte, of which its files are a third."""
_KIND = "self-tests"
_PREPARED = "prepared"
_VERIFIED = 1
"""Part of all names: before it files were opened without a look at what they shall be."""


class _Opening(msgspec.Struct, frozen=True):
    """How an artifact, its files as they are, opened on this host."""

    hung: float = 0
    """The seconds after which it was given up; 0 if it passed."""
    at: float = 0
    """When that was, in seconds since 1970."""


class _Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime prepared; without files the artifact is opened without."""

    files: tuple[Stamp, ...] = ()
    """No change of a byte leaves size, inode and both times of change as they were."""
    checked: bool = False
    """A session opened from these files has passed the self-test."""
    too_large: int = 0
    """Bytes of the files, which are gone, where they were more than the limit at the time."""


def open_session(artifact: Artifact, *, threads: int | None = None) -> Session:
    """Open `artifact`; raise `WhisperoptError` with the reason if it fails in any way."""
    backend = registry.require(artifact.manifest.backend)
    name = _name(artifact)
    if _passed(name):
        return _open_prepared(backend, artifact, threads, name)
    untried = _try(artifact, threads, name)
    session = _open_prepared(backend, artifact, threads, name)
    if untried:
        _check(session, artifact)
    cache.keep(_KIND, name, _Opening())
    return session


def known(artifact: Artifact) -> bool:
    """Say whether `artifact`, its files as they are, passed on this host before."""
    return _passed(_name(artifact))


def try_out(artifact: Artifact, *, threads: int | None = None) -> None:
    """Open `artifact` in a process of its own only; raise `WhisperoptError` if it fails there.

    What passed on this host before is not tried again.
    """
    registry.require(artifact.manifest.backend)
    name = _name(artifact)
    if _passed(name):
        return
    if untried := _try(artifact, threads, name):
        raise WhisperoptError(untried.reason)
    cache.keep(_KIND, name, _Opening())


class FirstOpen(msgspec.Struct, frozen=True):
    """What to open and test."""

    artifact: Path
    threads: int | None
    adapter: Gpu | None = None


def tested(request: FirstOpen) -> None:
    """Open an artifact in this process and test it."""
    artifact = artifacts.read(request.artifact, request.adapter)
    _bound_memory(artifact)
    backend = registry.require(artifact.manifest.backend)
    session = _open_prepared(backend, artifact, request.threads, _name(artifact))
    _check(session, artifact)


def _bound_memory(artifact: Artifact) -> None:
    """Let a graph that would take this machine's memory end in a reason, where the system can.

    Drivers of GPUs reserve far more than they use, so those are not bounded; and Windows has no
    such limit, macOS one that does nothing.
    """
    if sys.platform == "win32" or not process.inside():
        return
    import resource

    devices = {target.name: target.device for target in matrix.load().targets}
    if devices.get(artifact.manifest.target) == "cpu":
        size = sum(stamp.size for stamp in cache.stamps(artifact.path))
        bound = _LEAST_BYTES + usable_cores() * _CORE_BYTES + _TIMES * size
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        bound = bound if most == resource.RLIM_INFINITY else min(bound, most)
        resource.setrlimit(resource.RLIMIT_DATA, (bound, most))


def _try(artifact: Artifact, threads: int | None, name: str) -> Failure | None:
    """Raise if `artifact` is damaged, or fails in a process of its own; or return why it has none.

    What recently hung for at least as long as it would be given now is not tried again.
    """
    artifacts.verify(artifact)
    limit = process.bound(LIMIT, _SECONDS)
    before = cache.recall(_KIND, name, _Opening)
    if before and before.hung >= limit and before.at > time.time() - _DAY:
        note = cache.note(_KIND, name)
        raise WhisperoptError(because("runtime.hung-lately", note, seconds=limit))
    request = FirstOpen(artifact.path, threads, artifact.adapter)
    failure = process.ask(tested, request, limit=limit)
    if failure in (None, process.IMPOSSIBLE):
        return failure
    if failure.certain:
        raise WhisperoptError(failure.reason)
    if failure.late:
        cache.keep(_KIND, name, _Opening(limit, time.time()))
    raise WhisperoptError(because("runtime.not-opened", why=str(failure)))


def _open_prepared(
    backend: Backend, artifact: Artifact, threads: int | None, name: str
) -> Session:
    """Open from what the runtime prepared before, where that is fit; else let it prepare it now."""

    def opened(prepared: Path | None) -> Session:
        with others_as("runtime.not-opened"):
            prepared_too = msgspec.structs.replace(artifact, prepared=prepared)
            return backend.open(prepared_too, threads=threads)

    key, limit = f"{name}-{threads or 'all'}", _kept_bytes()
    if not limit:
        return opened(None)
    place = cache.folder(_PREPARED) / key
    left = cache.recall(_PREPARED, key, _Prepared)
    if left is None or left.files != cache.stamps(place) or 0 < left.too_large <= limit:
        cache.remove(place)
        # the cache or what is prepared may be more than the disk takes: it is opened without
        with contextlib.suppress(OSError, WhisperoptError), cache.new_folder(_PREPARED) as folder:
            session = opened(folder)
            _keep(folder, key, limit)
            return session
    elif left.files:
        cache.use(place)
        # it may fail for want of memory or of a free device, which says nothing about the files
        with contextlib.suppress(WhisperoptError):
            session = opened(place)
            if left.checked or _fit(session, artifact, key, left):
                return session
    return opened(None)


def _keep(folder: Path, key: str, limit: float) -> None:
    """Keep what a runtime left in `folder`, or note that it is more than may be kept."""
    with contextlib.suppress(OSError):  # full disk, or somebody else was faster
        files = cache.stamps(folder)
        size = sum(file.size for file in files)
        if size > limit:
            cache.write(_PREPARED, key, _Prepared(too_large=size))
        elif files:
            folder.rename(folder.with_name(key))
            cache.write(_PREPARED, key, _Prepared(files=files))
            cache.evict(_PREPARED, limit)


def _fit(session: Session, artifact: Artifact, key: str, left: _Prepared) -> bool:
    """Say whether `session`, opened from what was `left`, passes the self-test, and note it."""
    judged = _Prepared()
    with contextlib.suppress(WhisperoptError):
        _check(session, artifact)
        judged = msgspec.structs.replace(left, checked=True)
    if not judged.checked:
        cache.remove(cache.folder(_PREPARED) / key)
    cache.keep(_PREPARED, key, judged)
    return judged.checked


def _kept_bytes() -> float:
    text = os.environ.get(KEPT) or "4096"
    try:
        limit = float(text)
    except ValueError:
        limit = -1
    if not limit >= 0:
        raise BadInputError(because("runtime.no-megabytes", KEPT, text=repr(text[:40])))
    return limit * 1e6


def _check(session: Session, artifact: Artifact) -> None:
    """Compare with the stored values; without any, at least take two steps."""
    from whisperopt.runtime import self_test

    if not self_test.check(session, artifact):
        manifest = artifact.manifest
        with others_as("runtime.first-step"):
            self_test.record(session, manifest.dims, [manifest.decoding.start_of_transcript])


def _name(artifact: Artifact) -> str:
    """Name this artifact, its files as they are, on this host as it is."""
    adapter = [artifact.adapter.lasting] if artifact.adapter else []
    return cache.key(_VERIFIED, cache.files_key(artifact.path), fingerprint.here(), *adapter)


def _passed(name: str) -> bool:
    found = cache.recall(_KIND, name, _Opening)
    return found is not None and not found.hung
