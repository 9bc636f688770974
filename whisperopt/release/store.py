"""Writes a release so that it is whole at every moment, whoever dies when.

Only who writes into a release finishes a commit; who reads it changes nothing. The files of an
artifact and the documents may be links, as in a hub's cache: they are read, and replaced, but never
copied. Nobody goes through a link to a folder.
"""

import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from whisperopt import artifact, cache, locks
from whisperopt.errors import BadInputError, DiskError, IntegrityError
from whisperopt.reasons import because
from whisperopt.release import catalog
from whisperopt.release.catalog import Catalog, Variant

_STAGING = ".staging-"
_STAGED = re.compile(_STAGING + "[0-9a-f]{32}")
"""Only a folder that is held already gets such a name; older versions had others."""
_LONGEST_SECONDS = 86_400
_COMMIT = ".commit"
_ELSEWHERE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTEMPTY),
}
"""Failures that only another folder helps against."""


@contextmanager
def staging(release: Path) -> Iterator[Path]:
    """Yield an empty folder inside `release` for everything that `commit` shall put in place.

    `release` must be absent, empty or a release. Leaves no trace if nothing is committed.
    """
    with disk_errors(release):
        recover(release)
        created = not release.exists()
        release.mkdir(parents=True, exist_ok=True)
        try:
            if (release / catalog.NAME).exists():
                catalog.read(release)
        except IntegrityError as error:
            hint = error.remedy or "Choose an empty or a new folder"
            reason = because("release.odd-catalog", release, why=error.problem, hint=hint)
            raise BadInputError(reason) from None
        try:
            with new_folder(release) as folder:
                yield folder
        finally:
            if created:
                with suppress(OSError):  # it holds a release now
                    release.rmdir()


@contextmanager
def new_folder(parent: Path) -> Iterator[Path]:
    """Yield an empty folder in `parent` to fill and rename, gone when the block ends.

    It is held meanwhile, by which others know that it is alive, and what others died over is
    removed first. Where no lock can be had or trusted, only age tells: after a day it is dead.
    """
    name = uuid.uuid4().hex
    folder = parent / f"{_STAGING}new-{name}"
    folder.mkdir()
    held = locks.take(folder)
    try:
        folder = folder.rename(parent / f"{_STAGING}{name}")
        _sweep(parent, sure=held is not None and not locks.lies(folder))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def is_staging(path: Path) -> bool:
    """Say whether `path` is a folder that somebody fills, or died over."""
    return path.name.startswith(_STAGING)


def sweep(parent: Path) -> None:
    """Remove the folders of `new_folder` in `parent` that whoever filled them died over."""
    if any(map(is_staging, parent.iterdir())):
        with suppress(OSError), new_folder(parent):
            pass


def _sweep(parent: Path, *, sure: bool) -> None:
    """Remove what nobody holds, if `sure` that locks tell, and what is old."""
    for left in parent.glob(f"{_STAGING}*"):
        held = locks.take(left) if sure and _STAGED.fullmatch(left.name) else None
        with suppress(OSError):  # somebody else was faster
            old = time.time() - left.lstat().st_mtime > _LONGEST_SECONDS
            if held is not None or (old and not (sure and _STAGED.fullmatch(left.name))):
                shutil.rmtree(left, ignore_errors=True)
        if held is not None:
            os.close(held)


@contextmanager
def locked(release: Path, *, reading: bool = False) -> Iterator[None]:
    """Let no other process of this user change the folder `release` meanwhile.

    The lock lies outside: a release holds nothing but what is published. Where the cache takes
    none it lies beside the release, unless it is for `reading`: then an `OSError` is raised.
    """
    import filelock

    place = release.resolve()
    path = cache.folder("locks") / f"{hashlib.sha256(str(place).encode()).hexdigest()}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        if reading:
            raise
        path = place.with_name(f".{place.name}.lock")
    with filelock.FileLock(path):
        yield


def commit(folder: Path, release: Path) -> None:
    """Put what `folder` holds in place, under the lock; its `catalog.json` goes last.

    1. renaming the whole folder to `.commit` decides: from here on the new release counts
    2. its parts are moved over the old ones; if that is interrupted, `recover` goes on with it
    """
    catalog.read(folder)
    folder.rename(release / _COMMIT)
    _finish(release)


def prune(release: Path) -> None:
    """Remove artifacts that the catalog no longer names; other folders are nobody's business."""
    models = catalog.read(release).models.values()
    named = {variant.path for model in models for variant in model.variants}
    for folder in release.glob("*--*"):
        if folder.name not in named and (folder / artifact.MANIFEST).is_file():
            shutil.rmtree(folder, ignore_errors=True)


def is_release(folder: Path) -> bool:
    """Say whether `folder` is a release, perhaps one whose last commit was cut short."""
    return (folder / catalog.NAME).is_file() or _is_unfinished(folder)


def read(release: Path) -> Catalog:
    """Return the catalog of the folder `release`, which must be a release and whole."""
    if not is_release(release):
        raise BadInputError(because("release.none", release))
    check_whole(release)
    return catalog.read(release)


def check_whole(release: Path) -> None:
    """Refuse a release whose last commit was cut short; one that is at work is waited for."""
    if not _is_unfinished(release):
        return
    with suppress(OSError), locked(release, reading=True):
        pass  # where no lock can be had, there is no waiting
    if _is_unfinished(release):
        raise BadInputError(because("release.unfinished", release))


def places(release: Path, variant: Variant) -> dict[str, Path]:
    """Return where each file of `variant` lies, by its name; in its own folder only if it is whole.

    Raises BadInputError for a folder that is a link, which leads elsewhere.
    """
    found = {file.path: release / variant.lies(file) for file in variant.files}
    for folder in {release / variant.path, *(path.parent for path in found.values())}:
        if folder.is_symlink():
            raise BadInputError(because("release.link", folder))
    return found


def recover(release: Path) -> None:
    """Finish a commit that was interrupted, if there is one: for who writes into `release`.

    Refuses a folder that is neither absent nor empty nor a release, or has links to folders.
    """
    with disk_errors(release):
        if release.exists() and not release.is_dir():
            raise BadInputError(because("release.file", release))
        if release.is_dir():
            kept = {e.name for e in release.iterdir() if not e.name.startswith(_STAGING)}
            if kept and not kept & {catalog.NAME, _COMMIT}:
                raise BadInputError(because("release.foreign", release, file=min(kept)))
            _refuse_links(release)
        if _is_unfinished(release):
            with locked(release):
                _finish(release)


def _is_unfinished(release: Path) -> bool:
    unfinished = release / _COMMIT
    return unfinished.is_dir() and not unfinished.is_symlink()


def _finish(release: Path) -> None:
    if not _is_unfinished(release):  # somebody else was faster
        return
    source = release / _COMMIT
    _refuse_links(source)
    trash = source / ".trash"
    trash.mkdir(exist_ok=True)
    last = source / catalog.NAME
    for part in sorted(source.iterdir()):
        if part not in {trash, last}:
            destination = release / part.name
            if part.is_dir() and destination.exists():
                destination.rename(Path(tempfile.mkdtemp(dir=trash)) / "old")
            part.replace(destination)
    if last.exists():
        last.replace(release / catalog.NAME)
    shutil.rmtree(source)


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn failures of the disk inside the block into sentences."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, where) from error


def disk_error(error: OSError, where: Path) -> Exception:
    """Turn a failure of the disk into a sentence; anything else is returned as it is."""
    # NumPy writes arrays itself, and gives no error number when a disk takes only a part
    short = error.errno is None and " requested and " in str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT} or short:
        free = free_bytes(where)
        return DiskError(because("release.disk-full", where, free=free // 2**20))
    why = f"{error.strerror}"
    if error.errno in {errno.EFBIG, errno.EIO}:
        return DiskError(because("release.disk", where, why=why))
    if error.errno in _ELSEWHERE:
        return BadInputError(because("release.unwritable", where, why=why))
    return error


def free_bytes(where: Path) -> int:
    """Return how much fits on the disk of `where`, which need not exist yet."""
    present = next(folder for folder in (where, *where.absolute().parents) if folder.is_dir())
    return shutil.disk_usage(present).free


def _refuse_links(folder: Path) -> None:
    linked = sorted(p for p in folder.iterdir() if p.is_symlink() and not p.is_file())
    if linked:
        raise BadInputError(because("release.leads-elsewhere", linked[0]))
