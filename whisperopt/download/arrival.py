"""How a variant arrives in a folder of its own: whole or not at all, wherever that folder is."""

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path

from whisperopt import artifact, cache
from whisperopt.download import onnx_lint, parts, references
from whisperopt.download.parts import SUFFIX, Part
from whisperopt.download.transport import DirectorySource, Source
from whisperopt.errors import BadInputError, DiskError, IntegrityError
from whisperopt.reasons import because
from whisperopt.release import store
from whisperopt.release.catalog import File, Variant

Progress = Callable[[str, int, int], None]
"""Is called with a file's name, the bytes of it that have arrived, and its size."""

_SPARE_PERCENT = 5


def bring(
    source: Source,
    model: str,
    variant: Variant,
    destination: Path,
    progress: Progress | None,
    *,
    mend: bool = False,
) -> None:
    """Fetch `variant` into `destination`, whole or not at all, and check it.

    The folder is new, empty, or what an attempt of this kind left; or, to `mend` it, in the cache:
    then it is replaced. What a server sends lies as parts in the cache until all of it is there.
    Into a folder that exists the files are moved one by one, the manifest last: such a one may be
    a mount point, or all that this user may write to.
    """
    inside, damaged = destination.is_dir() and not mend, _inode(destination) if mend else None
    home = destination if inside else destination.parent
    room = variant.size
    with contextlib.ExitStack() as stack:
        place = _parts_in_cache(source, variant, home)
        if place and _device(place) == _device(home):
            room -= _there(place, variant)
        _check_room(destination, room)
        home.mkdir(parents=True, exist_ok=True)
        staging = stack.enter_context(store.new_folder(home))
        place = place or stack.enter_context(store.new_folder(home))
        known = {} if isinstance(source, DirectorySource) else references.copies()
        arrived: dict[str, Part] = {}
        for file in variant.files:
            report = functools.partial(progress, file.path) if progress else None
            fetched = functools.partial(parts.fetched, file=file, folder=place, report=report)
            with contextlib.suppress(BadInputError, IntegrityError):  # it changed meanwhile
                if copy := known.get(file.sha256):
                    local = fetched(DirectorySource(copy.parent), copy.name)
                    arrived[file.path] = stack.enter_context(local)
            if file.path not in arrived:
                remote = fetched(source, variant.lies(file))
                arrived[file.path] = stack.enter_context(remote)
        for name, part in arrived.items():
            part.move(staging / name)
        _lint(staging, model, variant)
        if damaged is not None and _inode(destination) == damaged:  # nobody else has mended it
            references.discard(destination)
        _install(staging, destination, variant, inside=inside)


def difference(folder: Path, variant: Variant, release: Path | None = None) -> str | None:
    """Return how `folder` differs from what the catalog says, or None; every byte is read once.

    It holds every file, or, inside a `release`, those that do not lie in another variant's folder.
    """
    if not folder.is_dir():
        return "it is not a folder"
    found = _files(folder)
    expected = {file.path for file in variant.files if release is None or not file.at}
    if missing := expected - set(found):
        return f"it lacks {min(missing)}"
    if extra := set(found) - expected:
        return f"it also holds {min(extra)}"
    if release is not None:
        found = store.places(release, variant)
    return next(filter(None, (_changed(found[file.path], file) for file in variant.files)), None)


def is_there(destination: Path, variant: Variant) -> bool:
    """Say whether `destination` holds the variant; anything else in it is an error.

    Not there are a folder that is absent or empty, and one that `bring` could not finish.
    """
    if not destination.exists():
        return False
    if destination.is_dir():
        store.sweep(destination)
        found = _files(destination)
        own = {file.path: file for file in variant.files}
        if artifact.MANIFEST not in found and set(found) <= set(own):
            changed = [_changed(path, own[name]) for name, path in found.items()]
            if not any(changed):
                return False
    if problem := difference(destination, variant):
        reason = because("download.occupied", destination, variant=variant.name, why=problem)
        raise BadInputError(reason)
    return True


def _files(folder: Path) -> dict[str, Path]:
    """Return what lies in `folder` by its name, apart from what is on its way there."""
    return {p.name: p for p in folder.iterdir() if not store.is_staging(p)}


def _changed(path: Path, file: File) -> str | None:
    if path.is_symlink() or not path.is_file():
        return f"{file.path} is not a regular file"
    if path.stat().st_size != file.size or cache.sha256(path) != file.sha256:
        return f"{file.path} has other content"
    return None


def _parts_in_cache(source: Source, variant: Variant, home: Path) -> Path | None:
    """Return where what a server sends may lie for the next attempt; None: the cache takes none."""
    place = cache.folder("parts")
    if isinstance(source, DirectorySource):
        return None
    try:
        place.mkdir(parents=True, exist_ok=True)
        with cache.new_folder("parts"):
            pass
        elsewhere = _device(place) != _device(home)
        if elsewhere:
            _check_room(place, variant.size - _there(place, variant))
    except (OSError, DiskError):
        return None
    return place


def _there(place: Path, variant: Variant) -> int:
    """Return how many bytes of `variant` have arrived before."""
    found = ((place / f"{file.sha256}{SUFFIX}", file.size) for file in variant.files)
    return sum(min(path.stat().st_size, size) for path, size in found if path.is_file())


def _check_room(where: Path, size: int) -> None:
    needed = size + size * _SPARE_PERCENT // 100
    free = store.free_bytes(where)
    if free < needed:
        raise DiskError(because("download.space", where, needed=needed, free=free))


def _inode(folder: Path) -> int | None:
    return folder.stat().st_ino if folder.exists() else None


def _device(where: Path) -> int:
    """Return which disk `where` is on, or will be."""
    return next(f for f in (where, *where.absolute().parents) if f.is_dir()).stat().st_dev


def _lint(staging: Path, model: str, variant: Variant) -> None:
    """Refuse what was hashed correctly but is no artifact of this model and variant."""
    try:
        manifest = artifact.read(staging).manifest
    except BadInputError as error:
        reason = because("download.no-manifest", variant.path, file=artifact.MANIFEST)
        raise IntegrityError(reason) from error
    onnx_lint.check(staging, variant)
    if (manifest.model, manifest.variant) != (model, variant.name):
        why = f"it calls itself {manifest.variant} of {manifest.model}"
        raise IntegrityError(
            because("download.other", variant.path, variant=variant.name, why=why)
        )


def _install(staging: Path, destination: Path, variant: Variant, *, inside: bool) -> None:
    """Rename; where somebody else was faster with the same bytes, theirs will do."""
    if inside:
        for file in sorted(variant.files, key=lambda file: file.path == artifact.MANIFEST):
            (staging / file.path).replace(destination / file.path)
        return
    try:
        staging.rename(destination)
    except OSError:
        if not destination.is_dir() or difference(destination, variant):
            raise
