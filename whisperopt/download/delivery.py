"""Brings the variant that fits a host into a folder of its own, whole or not at all."""

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path

from whisperopt import artifact, cache
from whisperopt.artifact import Artifact
from whisperopt.download import onnx_lint, transport
from whisperopt.download.transport import DirectorySource, Source, open_source
from whisperopt.errors import BadInputError, DiskError, IntegrityError, WhisperoptError
from whisperopt.host import Host
from whisperopt.matrix import Objective, check_target
from whisperopt.reasons import Reason, because
from whisperopt.release import catalog as catalogs
from whisperopt.release import store
from whisperopt.release.catalog import Catalog, Variant
from whisperopt.selection.decisions import Decision, best, choose

Progress = Callable[[str, int, int], None]
"""Is called with a file's name, the bytes of it that have arrived, and its size."""

_SPARE_PERCENT = 5
_COMPLETED = "completed"


def fetch(  # noqa: PLR0913  # what restricts the choice, by name
    model: str,
    *,
    repo: str | Path,
    to: str | Path | None = None,
    host: Host | None = None,
    target: str | None = None,
    device: str | None = None,
    variant: str | None = None,
    insecure: bool = False,
    progress: Progress | None = None,
) -> Artifact:
    """Bring the variant of `model` that fits `host` (default: this machine) into a folder.

    `device` restricts the choice: `cpu`, `gpu`, or an adapter's UUID, LUID or PCI address. One that
    is named by `variant` is brought whatever the host. `repo` is a release's folder or URL. `to`
    must be absent, empty or hold the same variant, which is then used as it is; the default is a
    folder in the cache. Raises `NothingFitsError`, `IntegrityError`, `DiskError` or `NetworkError`,
    and then leaves nothing behind.
    """
    source, catalog = open_release(repo, insecure=insecure)
    named = {known.name: known for known in catalog.model(model).variants}
    check_target(
        target, sorted({v.target for v in named.values()}), because("target.no-variant", model)
    )
    if variant is not None and variant not in named:
        reason = because("download.no-variant", model, name=repr(variant), known=", ".join(named))
        raise BadInputError(reason)
    wanted = named[variant] if variant else None
    wanted = wanted or best(choose(catalog, model, host, target, device=device))
    if to is None and isinstance(home := cache.home(), Reason):
        raise BadInputError(home)
    destination = cache.folder("artifacts") / _folder_of(model, wanted)
    destination = destination if to is None else Path(to).resolve()
    with store.disk_errors(destination):
        if not _is_there(destination, wanted):
            bring(source, model, wanted, destination, progress)
    return artifact.read(destination)


def explain(
    repo: str | Path,
    model: str | None = None,
    host: Host | None = None,
    target: str | None = None,
    *,
    device: str | None = None,
    insecure: bool = False,
    objective: Objective | None = None,
) -> dict[str, tuple[Decision, ...]]:
    """Judge every variant of `model` (default: of every model) in a release for `host`.

    By default that is this machine, and the objective is what it was tuned for, or else what the
    release was built for.
    """
    _, catalog = open_release(repo, insecure=insecure)
    models = sorted(catalog.models) if model is None else [model]
    return {name: choose(catalog, name, host, target, objective, device=device) for name in models}


def cached(model: str) -> list[Path]:
    """Return the artifact folders in the cache that hold `model`, newest first."""
    folder = cache.folder("artifacts")
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(WhisperoptError, OSError):  # what cannot be read is not there
            if path.name.startswith(f"{model}--") and artifact.read(path).manifest.model == model:
                found.append(((path / artifact.MANIFEST).stat().st_mtime_ns, path))
    return [path for _, path in sorted(found, reverse=True)]


def open_release(repo: str | Path, *, insecure: bool = False) -> tuple[Source, Catalog]:
    """Open a release and read its catalog; a folder must be a whole one."""
    source = open_source(repo, insecure=insecure)
    if isinstance(source, DirectorySource):
        try:
            store.check_whole(source.root)
        except OSError as error:
            why = f"{error.strerror}"
            raise BadInputError(because("download.unread", source.root, why=why)) from error
    data = transport.read(source, catalogs.NAME, catalogs.MAX_BYTES)
    catalog = catalogs.parse(data, source.where(catalogs.NAME))
    if not catalog.models:
        raise BadInputError(because("download.no-model", source.where(catalogs.NAME)))
    return source, catalog


def difference(folder: Path, variant: Variant, release: Path | None = None) -> str | None:
    """Return how `folder` differs from what the catalog says, or None; every byte is read once.

    It holds every file, or, inside a `release`, those that do not lie in another variant's folder.
    """
    if not folder.is_dir():
        return "it is not a folder"
    found = {path.name: path for path in folder.iterdir()}
    expected = {file.path for file in variant.files if release is None or not file.at}
    if missing := expected - set(found):
        return f"it lacks {min(missing)}"
    if extra := set(found) - expected:
        return f"it also holds {min(extra)}"
    if release is not None:
        found = store.places(release, variant)
    for name, path in found.items():
        if path.is_symlink() or not path.is_file():
            return f"{name} is not a regular file"
    for file in variant.files:
        path = found[file.path]
        if path.stat().st_size != file.size or cache.sha256(path) != file.sha256:
            return f"{file.path} has other content"
    return None


def whole(release: Path, model: str, variant: Variant, under: Path | None = None) -> Path:
    """Return a folder with every file of a variant of `model` in the folder `release`.

    That is its own, or, where others hold some of its files, one in the folder `under` (default:
    in the cache), put together and compared with the catalog. Raises `IntegrityError`, `DiskError`,
    or `BadInputError` for a link to a folder, and where there is no cache.
    """
    store.places(release, variant)
    if not any(file.at for file in variant.files):
        return release / variant.path
    if under is None and isinstance(home := cache.home(), Reason):
        raise BadInputError(home)
    folder = (under or cache.folder(_COMPLETED)) / _folder_of(model, variant)
    with store.disk_errors(folder):
        if difference(folder, variant):
            cache.remove(folder)
            bring(DirectorySource(release), model, variant, folder, None)
    if under is None:
        cache.use(folder)
        cache.evict(_COMPLETED)
    return folder


def read_folder(folder: Path) -> Artifact:
    """Read the artifact in `folder`; of one in a release, others may hold some of its files."""
    found, release = artifact.read(folder), folder.absolute().parent
    try:
        models = catalogs.read(release).models
    except (BadInputError, IntegrityError):  # it is part of nothing that can be read
        return found
    for model, entry in models.items():
        for variant in entry.variants:
            if variant.path == folder.absolute().name:
                return artifact.read(whole(release, model, variant))
    return found


def _folder_of(model: str, variant: Variant) -> str:
    return f"{model}--{variant.name}--{variant.digest.removeprefix('sha256:')[:12]}"


def _is_there(destination: Path, variant: Variant) -> bool:
    """Say whether `destination` holds the variant; anything else in it is an error."""
    empty = destination.is_dir() and not any(destination.iterdir())
    if empty or not destination.exists():
        return False
    if problem := difference(destination, variant):
        reason = because("download.occupied", destination, variant=variant.name, why=problem)
        raise BadInputError(reason)
    return True


def bring(
    source: Source, model: str, variant: Variant, destination: Path, progress: Progress | None
) -> None:
    """Fetch `variant` into the new folder `destination`, whole or not at all, and check it."""
    needed = variant.size + variant.size * _SPARE_PERCENT // 100
    free = store.free_bytes(destination)
    if free < needed:
        raise DiskError(because("download.space", destination, needed=needed, free=free))
    destination.parent.mkdir(parents=True, exist_ok=True)
    with store.new_folder(destination.parent) as staging:
        for file in variant.files:
            path, here = variant.lies(file), staging / file.path
            report = functools.partial(progress, file.path) if progress else None
            found = transport.copy(source, path, here, size=file.size, report=report)
            if found != file.sha256:
                raise IntegrityError(because("download.sha256", source.where(path), found=found))
        _lint(staging, model, variant)
        _commit(staging, destination, variant)


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


def _commit(staging: Path, destination: Path, variant: Variant) -> None:
    """Rename; where somebody else was faster with the same bytes, theirs will do."""
    with contextlib.suppress(OSError):
        destination.rmdir()  # Windows does not rename onto an empty folder
    try:
        staging.rename(destination)
    except OSError:
        if not destination.is_dir() or difference(destination, variant):
            raise
