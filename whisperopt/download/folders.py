"""Folders on this machine that hold a variant: in the cache, in a release, made of several."""

import contextlib
from pathlib import Path

from whisperopt import artifact, cache
from whisperopt.artifact import Artifact
from whisperopt.download.arrival import bring, difference
from whisperopt.download.references import folder_of
from whisperopt.download.transport import DirectorySource
from whisperopt.errors import BadInputError, IntegrityError, WhisperoptError
from whisperopt.reasons import Reason
from whisperopt.release import catalog as catalogs
from whisperopt.release import store
from whisperopt.release.catalog import Variant

_COMPLETED = "completed"


def cached(model: str) -> list[Path]:
    """Return the artifact folders in the cache that hold `model`, newest first."""
    folder = cache.folder("artifacts")
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(WhisperoptError, OSError):  # what cannot be read is not there
            if path.name.startswith(f"{model}--") and artifact.read(path).manifest.model == model:
                found.append(((path / artifact.MANIFEST).stat().st_mtime_ns, path))
    return [path for _, path in sorted(found, reverse=True)]


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
    folder = (under or cache.folder(_COMPLETED)) / folder_of(model, variant)
    with store.disk_errors(folder):
        if not artifact.is_verified(folder, variant.digests) and difference(folder, variant):
            cache.remove(folder)
            bring(DirectorySource(release), model, variant, folder, None)
    if under is None:
        artifact.remember(folder, variant.digests)
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
                return artifact.read(whole(release, model, variant), digests=variant.digests)
    return found
