"""The first time that an artifact is opened on a host: in a process of its own, which it may end.

A runtime or driver may hang, abort or compute wrong values. What passed once is known by its files,
this host's hardware, drivers and runtimes, and is not tried again until one of them changes. So is
what a runtime prepared meanwhile, from which it opens the artifact faster.
"""

import contextlib
import hashlib
import time
from pathlib import Path

import msgspec

from whisperopt import artifact as artifacts
from whisperopt import cache, process, registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Backend, Session
from whisperopt.errors import WhisperoptError
from whisperopt.host import fingerprint
from whisperopt.process import Failure
from whisperopt.reasons import because
from whisperopt.runtime import compile_cache as prepared

LIMIT = "WHISPEROPT_OPEN_SECONDS"
"""The variable that says how long the first opening may take."""

_SECONDS = 900  # a GPU's engines are built then
_DAY = 24 * 60 * 60


def open_session(artifact: Artifact, *, threads: int | None = None) -> Session:
    """Open `artifact`; raise `WhisperoptError` with the reason if it fails in any way."""
    backend = registry.require(artifact.manifest.backend)
    passed = _passed(artifact)
    if passed.is_file():
        return _open_prepared(backend, artifact, threads, passed.name)
    untried = _try(artifact, threads, passed.with_suffix(".hung"))
    session = _open_prepared(backend, artifact, threads, passed.name)
    if untried:
        _check(session, artifact)
    _write(passed, "")
    return session


def known(artifact: Artifact) -> bool:
    """Say whether `artifact`, its files as they are, passed on this host before."""
    return _passed(artifact).is_file()


def try_out(artifact: Artifact, *, threads: int | None = None) -> None:
    """Open `artifact` in a process of its own only; raise `WhisperoptError` if it fails there.

    What passed on this host before is not tried again.
    """
    registry.require(artifact.manifest.backend)
    passed = _passed(artifact)
    if passed.is_file():
        return
    if untried := _try(artifact, threads, passed.with_suffix(".hung")):
        raise WhisperoptError(untried.reason)
    _write(passed, "")


class FirstOpen(msgspec.Struct, frozen=True):
    """What to open and test."""

    artifact: Path
    threads: int | None


def tested(request: FirstOpen) -> None:
    """Open an artifact in this process and test it."""
    artifact = artifacts.read(request.artifact)
    backend = registry.require(artifact.manifest.backend)
    name = _passed(artifact).name
    _check(_open_prepared(backend, artifact, request.threads, name), artifact)


def _try(artifact: Artifact, threads: int | None, hung: Path) -> Failure | None:
    """Raise if `artifact` fails in a process of its own; return why it cannot be tried there."""
    limit = process.seconds(LIMIT, _SECONDS)
    if _hung(hung, limit):
        raise WhisperoptError(because("runtime.hung-lately", hung, seconds=limit))
    failure = process.ask(tested, FirstOpen(artifact.path, threads), limit=limit)
    if failure in (None, process.IMPOSSIBLE):
        return failure
    if failure.certain:
        raise WhisperoptError(failure.reason)
    if failure.late:
        _write(hung, f"{limit:g}")
    raise WhisperoptError(because("runtime.not-opened", why=str(failure)))


def _open_prepared(
    backend: Backend, artifact: Artifact, threads: int | None, name: str
) -> Session:
    """Open from what the runtime prepared before, where that is fit; else let it prepare it now."""
    key = f"{name[:40]}-{threads or 'all'}"
    found = prepared.find(key)
    if found is None:
        return _open_preparing(backend, artifact, threads, key)
    path, entry = found
    if not entry.refused:
        # it may fail for want of memory or of a free device, which says nothing about the files
        with contextlib.suppress(WhisperoptError):
            session = _open(backend, msgspec.structs.replace(artifact, prepared=path), threads)
            if entry.checked or _fit(session, artifact, found):
                return session
    return _open(backend, artifact, threads)


def _open_preparing(
    backend: Backend, artifact: Artifact, threads: int | None, key: str
) -> Session:
    """Open and let the runtime keep what it prepares, or without where that fails: a full disk."""
    folder = None
    try:
        with prepared.new(key) as folder:
            return _open(backend, msgspec.structs.replace(artifact, prepared=folder), threads)
    except WhisperoptError:
        if folder is None:
            raise
    return _open(backend, artifact, threads)


def _fit(session: Session, artifact: Artifact, found: tuple[Path, prepared.Entry]) -> bool:
    """Say whether `session`, opened from `found`, passes the self-test, and note it there."""
    try:
        _check(session, artifact)
    except WhisperoptError:
        prepared.judge(found, fit=False)
        return False
    prepared.judge(found, fit=True)
    return True


def _open(backend: Backend, artifact: Artifact, threads: int | None) -> Session:
    try:
        return backend.open(artifact, threads=threads)
    except WhisperoptError:
        raise
    except Exception as error:  # noqa: BLE001  # a runtime's own errors have no common class
        why = f"{type(error).__name__}: {error}"
        raise WhisperoptError(because("runtime.not-opened", why=why)) from None


def _check(session: Session, artifact: Artifact) -> None:
    """Compare with the stored values; without any, at least take two steps."""
    from whisperopt.runtime import self_test

    if self_test.read(artifact) is not None:
        self_test.check(session, artifact)
        return
    manifest = artifact.manifest
    try:
        self_test.record(session, manifest.dims, [manifest.decoding.start_of_transcript])
    except WhisperoptError:
        raise
    except Exception as error:  # noqa: BLE001  # as above
        why = f"{type(error).__name__}: {error}"
        raise WhisperoptError(because("runtime.first-step", why=why)) from None


def _passed(artifact: Artifact) -> Path:
    """Return where it is noted that this artifact, its files as they are, passed on this host."""
    files = sorted(
        (path.name, (facts := path.stat()).st_size, facts.st_mtime_ns)
        for path in artifact.path.iterdir()
    )
    place = str(artifact.path.resolve())
    key = msgspec.json.encode([place, files, fingerprint.here()])
    return cache.folder("self-tests") / hashlib.sha256(key).hexdigest()


def _hung(path: Path, limit: float) -> bool:
    """Say whether it recently hung for at least as long as it would be given now."""
    try:
        return (
            float(path.read_text("utf-8")) >= limit and path.stat().st_mtime > time.time() - _DAY
        )
    except (OSError, ValueError):
        return False


def _write(path: Path, content: str) -> None:
    with contextlib.suppress(OSError):  # without a cache it is tried again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
