"""Rehearsals: proofs by a real runtime without its device.

A rehearsal hands a variant to the runtime's own partitioner or compiler, or executes it on a
software device. Each has a home folder with what it needs (an interpreter with the runtime, stub
libraries, drivers), apart from whisperopt's own environment: the wheels overwrite each other.
`ci/install-rehearsals` fills the homes; what is missing is a reason, never an error.
"""

import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache as cached
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from whisperopt import cache
from whisperopt.recipe import Probe, Tier

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact

PYTHON = "venv/bin/python"
"""Where a home has its interpreter."""
_INSTALL = "Run `ci/install-rehearsals {name}` of whisperopt's repository (Debian, as root)"
_PINS = "pins"


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


class Judgement(msgspec.Struct, frozen=True):
    """What a rehearsal says of a variant, with the meanings that `Rehearsed` gives the fields."""

    passed: bool | None
    reason: str
    facts: Mapping[str, str] = {}

    @classmethod
    def of(cls, wrong: Sequence[str], shown: str, facts: Mapping[str, str] = {}) -> Self:
        """Fail for all that is `wrong`; without anything pass for what was `shown`."""
        return cls(not wrong, "; ".join(wrong) or shown, facts)


class NotTried(Exception):  # noqa: N818  # no error: nothing is said about the variant
    """Raised by a rehearsal that cannot hold a variant to anything, with the reason."""


class Rehearsal(Protocol):
    """One way to prove variants of a backend without the device."""

    @property
    def name(self) -> str:
        """Its name and that of its home folder, e.g. `cuda`."""

    @property
    def summary(self) -> str:
        """What it proves, in a few words."""

    @property
    def tier(self) -> Tier:
        """What a pass is worth: `structural`, or `emulated` if the graphs were really computed."""

    def __hash__(self) -> int:
        """Tell it from others, so that a process asks it only once whether it is possible."""

    def probe(self) -> Probe:
        """Say whether this machine can do it, and how to make it so; never raises."""

    def run(self, artifact: "Artifact", scratch: Path) -> Judgement:
        """Rehearse `artifact` where `probe` is ready, in processes of its own with time limits.

        `scratch` is an empty folder to write to. Raises nothing but `NotTried`.
        """


def rehearse(
    built: "Artifact", rehearsals: Iterable[Rehearsal], scratch: Path
) -> tuple[Rehearsed, ...]:
    """Return what each rehearsal says of `built`; one that is not possible here says why.

    Each gets a folder of its own inside `scratch`, which is removed afterwards.
    """
    return tuple(_rehearse(built, rehearsal, scratch / "rehearsal") for rehearsal in rehearsals)


def _rehearse(built: "Artifact", rehearsal: Rehearsal, folder: Path) -> Rehearsed:
    probe, facts, started = probed(rehearsal), {}, time.monotonic()
    folder.mkdir()
    try:
        if not probe.ready:
            raise NotTried(f"{probe.reason}. {probe.remedy}".rstrip())  # noqa: TRY301
        found = rehearsal.run(built, folder)
        facts = {**found.facts, "seconds": f"{time.monotonic() - started:.1f}"}
    except NotTried as why:
        found = Judgement(None, f"not tried: {why}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Rehearsed(
        name=rehearsal.name,
        runtime=probe.runtime,
        version=probe.version,
        passed=found.passed,
        reason=found.reason,
        facts=facts,
    )


def probed(rehearsal: Rehearsal) -> Probe:
    """Return what `rehearsal` finds here; a process asks once."""
    return _probed(rehearsal, home(rehearsal.name))


@cached
def _probed(rehearsal: Rehearsal, _home: Path) -> Probe:
    return rehearsal.probe()


def home(name: str) -> Path:
    """Return the folder of the rehearsal `name`: in `WHISPEROPT_REHEARSALS`, else in the cache."""
    chosen = os.environ.get("WHISPEROPT_REHEARSALS")
    return (Path(chosen) if chosen else cache.folder("rehearsals")) / name


def python(name: str) -> Path:
    """Return the interpreter in the home of the rehearsal `name`."""
    return home(name) / PYTHON


def installed(name: str, runtime: str, *files: str, beside: str = "") -> Probe:
    """Look into a home for the versions that were installed, and for `files`.

    Without them it has no `runtime`, as the reason says, nor what belongs `beside` it.
    """
    place = home(name)
    if not all((place / file).exists() for file in (_PINS, *files)):
        return absent(name, runtime, f"{place} has no {runtime}{beside}")
    pins = (place / _PINS).read_text("utf-8").split()
    versions = dict(pin.partition("==")[::2] for pin in pins)
    return Probe(runtime=runtime, version=versions.get(runtime))


def absent(name: str, runtime: str, reason: str) -> Probe:
    """Return that a rehearsal is not ready, and how to install it."""
    return Probe(runtime=runtime, reason=reason, remedy=_INSTALL.format(name=name))
