"""What a repository or a build folder has, by model and version."""

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from whisperopt.download.transport import open_source
from whisperopt.repository import index as indexes
from whisperopt.repository import reading
from whisperopt.repository.reading import Kind
from whisperopt.trust.client import Trust

State: TypeAlias = Literal["current", "", "pre-release", "withdrawn"]


class ListedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model."""

    model: str
    version: str
    created: str
    """When it was published, or built."""
    state: State
    """`current`: what the model's name alone means."""
    why: str = ""
    """Why it is withdrawn."""
    mirrored: bool = True
    """Whether a mirror has anything of it."""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What there is, the newest version of each model first."""

    repo: str
    kind: Kind
    serial: int | None
    """Grows with every change of a repository; None: a build folder has none."""
    mirror_of: str = ""
    """What it is a mirror of, as the mirror says."""
    versions: tuple[ListedVersion, ...]


def listed(
    repo: str | Path, *, trust: Trust = reading.NO_TRUST, insecure: bool = False
) -> Listing:
    """Return every version of every model at `repo`."""
    source = open_source(repo, insecure=insecure)
    kind = reading.kind_of(source)
    if kind == "build folder":
        reading.believe_build(source, trust)
        catalog = reading.build_catalog(source)
        built = tuple(
            ListedVersion(
                model=name, version=entry.version, created=catalog.created, state="current"
            )
            for name, entry in sorted(catalog.models.items())
        )
        return Listing(repo=str(repo), kind=kind, serial=None, versions=built)
    index, mirror = reading.opened(source, trust), reading.mirrored(source)
    versions = []
    for model in sorted(index.models):
        known, current = index.versions(model), reading.newest(index, model)
        for name in sorted(known, key=indexes.version, reverse=True):
            state: State = "pre-release" if indexes.version(name).is_prerelease else ""
            state = "withdrawn" if known[name].withdrawn else state
            found = ListedVersion(
                model=model,
                version=name,
                created=known[name].created,
                state="current" if name == current else state,
                why=known[name].withdrawn,
                mirrored=mirror is None or mirror.holds(model),
            )
            versions.append(found)
    return Listing(
        repo=str(repo),
        kind=kind,
        serial=index.serial,
        mirror_of=mirror.source if mirror else "",
        versions=tuple(versions),
    )
