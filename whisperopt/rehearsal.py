"""Rehearsals: proofs by a real runtime without its device.

A rehearsal hands a variant to the runtime's own partitioner or compiler, or executes it on a
software device. Each has a home folder with what it needs (an interpreter with the runtime, stub
libraries, drivers), apart from whisperopt's own environment: the wheels overwrite each other.
`ci/install-rehearsals` fills the homes; what is missing is a reason, never an error.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from whisperopt import cache
from whisperopt.backend import Probe, Tier
from whisperopt.process import call

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact

__all__ = ["INSTALL", "Rehearsal", "Rehearsed", "call", "home", "rehearse"]

INSTALL = "Run `ci/install-rehearsals {name}` of whisperopt's repository (Debian, as root)"


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of one rehearsal of one variant."""

    name: str
    runtime: str
    version: str | None = None
    passed: bool | None
    """None: it was not tried, and `reason` says why."""
    reason: str
    """What was shown, or what is wrong, in one sentence."""
    facts: dict[str, str] = {}


class Rehearsal(Protocol):
    """One way to prove variants of a backend without the device."""

    @property
    def name(self) -> str:
        """Its name and that of its home folder, e.g. `cuda`."""
        ...

    @property
    def summary(self) -> str:
        """What it proves, in a few words."""
        ...

    @property
    def tier(self) -> Tier:
        """What a pass is worth: `structural`, or `emulated` if the graphs were really computed."""
        ...

    def probe(self) -> Probe:
        """Say whether this machine can do it, and how to make it so; never raises."""
        ...

    def run(self, artifact: "Artifact", scratch: Path) -> Rehearsed:
        """Rehearse `artifact` in processes of its own with time limits; never raises.

        `scratch` is an empty folder to write to.
        """
        ...


def rehearse(
    built: "Artifact", rehearsals: Iterable[Rehearsal], scratch: Path
) -> tuple[Rehearsed, ...]:
    """Return what each rehearsal says of `built`; one that is not possible here says why.

    Each gets a folder of its own inside `scratch`, which is removed afterwards.
    """
    return tuple(_one(built, rehearsal, scratch / "rehearsal") for rehearsal in rehearsals)


def _one(built: "Artifact", rehearsal: Rehearsal, folder: Path) -> Rehearsed:
    probe = rehearsal.probe()
    if not probe.ready:
        return Rehearsed(
            name=rehearsal.name,
            runtime=probe.runtime,
            version=probe.version,
            passed=None,
            reason=f"not tried: {probe.reason}. {probe.remedy}".rstrip(),
        )
    folder.mkdir()
    try:
        return rehearsal.run(built, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def home(name: str) -> Path:
    """Return the folder of the rehearsal `name`: in `WHISPEROPT_REHEARSALS`, else in the cache."""
    chosen = os.environ.get("WHISPEROPT_REHEARSALS")
    return (Path(chosen) if chosen else cache.folder("rehearsals")) / name
