"""Opens what a user names as a repository: a build folder, or a version in a repository."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from whisperopt.download.transport import Source, open_source
from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.release.catalog import Catalog, ModelEntry, Variant
from whisperopt.repository import reading
from whisperopt.repository.index import Mirror, RepositoryIndex
from whisperopt.repository.reading import Kind, Resolved
from whisperopt.trust.client import Trust


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """What can be fetched: a build folder, or one version of a model in a repository."""

    source: Source
    kind: Kind
    catalog: Catalog
    """Where in `source` the bytes of a file are, `variant.lies(file)` says."""
    resolved: Resolved | None = None
    """Which version that is, and what there is beyond it; None: build folders have only one."""
    serial: int | None = None
    """Of the repository."""
    mirror: Mirror | None = None
    """What is there, where it is not all; None: all."""

    def variant(self, model: str, name: str) -> Variant:
        """Return the variant of `model` that is called `name`."""
        known = {variant.name: variant for variant in self.catalog.model(model).variants}
        if name not in known:
            facts = {"name": repr(name), "known": ", ".join(known)}
            raise BadInputError(because("download.no-variant", model, **facts))
        return known[name]

    def here(self, model: str) -> Catalog:
        """Return the catalog with what is here of `model`: a mirror may lack some variants."""
        entry, held = self.catalog.model(model), self.mirror
        there = tuple(v for v in entry.variants if held is None or held.holds(model, v.target))
        models = {model: msgspec.structs.replace(entry, variants=there)}
        return msgspec.structs.replace(self.catalog, models=models)


def open_release(
    repo: str | Path,
    model: str | None = None,
    *,
    trust: Trust | None = None,
    insecure: bool = False,
    offline: bool = False,
) -> Release:
    """Open a build folder, or one version of a model in a repository, and read its catalog.

    `model` is `MODEL` or `MODEL@VERSION`; a repository with one model needs none. Raises
    IntegrityError for what `trust` does not cover.
    """
    found = [*releases(repo, model, trust, insecure=insecure, offline=offline)]
    if len({id(release.catalog) for _, release in found}) > 1:
        names = ", ".join(name for name, _ in found)
        raise BadInputError(because("load.several-models", repo, names=names))
    return found[0][1]


def releases(
    repo: str | Path,
    model: str | None,
    trust: Trust | None,
    *,
    insecure: bool,
    offline: bool = False,
) -> Iterator[tuple[str, Release]]:
    """Yield what `model` names in `repo`, by default every model; what there is, is read once."""
    source = open_source(repo, insecure=insecure, offline=offline)
    trust = trust or reading.NO_TRUST
    kind = reading.kind_of(source)
    name, wanted = reading.split(model) if model is not None else (None, None)
    if kind == "build folder":
        catalog = reading.build_catalog(source)  # that there is none comes first
        reading.believe_build(source, trust)
        release = Release(source=source, kind=kind, catalog=catalog)
        for known in sorted(release.catalog.models) if name is None else [name]:
            _check_version(known, release.catalog.model(known), wanted)
            yield known, release
        return
    index, mirror = reading.opened(source, trust), reading.mirrored(source)
    for known in _models(index, mirror, source) if name is None else [name]:
        chosen = reading.resolve_version(index, known, wanted)
        catalog = reading.catalog_of(source, chosen)
        release = Release(
            source=source,
            kind=kind,
            catalog=catalog,
            resolved=chosen,
            serial=index.serial,
            mirror=mirror,
        )
        yield known, release


def _models(index: RepositoryIndex, mirror: Mirror | None, source: Source) -> list[str]:
    """Return the models that mean a version by their names alone, and are here."""
    held = [name for name in index.models if mirror is None or mirror.holds(name)]
    names = sorted(name for name in held if reading.newest(index, name))
    if not names:
        raise BadInputError(because("repository.empty", source.where("").rstrip("/")))
    return names


def _check_version(model: str, entry: ModelEntry, wanted: str | None) -> None:
    """Refuse another version than the one that a build folder has; those need not be PEP 440's."""
    if wanted not in (None, entry.version):
        facts = {"model": repr(model), "known": entry.version}
        raise BadInputError(because("repository.not-published", wanted, **facts))
