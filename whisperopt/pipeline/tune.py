"""Races the best variants of a release on this machine, once, and remembers who won."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt import artifact as artifacts
from whisperopt import host as hosts
from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.download import Decision, best, difference, resolve
from whisperopt.errors import BadInputError, NothingFitsError, WhisperoptError
from whisperopt.matrix import Objective, check_target
from whisperopt.process import Failure
from whisperopt.reasons import because
from whisperopt.release import store
from whisperopt.release.catalog import Catalog, Variant
from whisperopt.runtime import first_open
from whisperopt.selection import tuned
from whisperopt.selection.merits import outside
from whisperopt.selection.tuned import Place, Raced, Tuned

if TYPE_CHECKING:
    from whisperopt.evaluate.evidence import Race

Progress = Callable[[str, str], None]
"""Is called with the name of what is at work, which may be empty, and what it is at."""

_LONGEST = 1000
_BEFORE = ("size_bytes", "wer_delta")
"""The limits that can be checked before a race."""


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """What a tuning found: the raced variants, best first, and why others were not."""

    model: str
    objective: Objective
    places: tuple[Place, ...]
    refused: dict[str, str]
    remembered: Path
    """The file that `load`, `explain` and `fetch` look into from now on."""

    @property
    def winner(self) -> str:
        """The variant that goes first on this machine from now on."""
        return self.places[0].variant.name


def tune(
    release: str | Path,
    model: str | None = None,
    *,
    target: str | None = None,
    top: int = 4,
    objective: Objective | None = None,
    progress: Progress = lambda _name, _doing: None,
) -> Tuning:
    """Time the `top` best variants of `release` on each device of this machine side by side.

    The order by `objective` (default: what the release was built for) is remembered for this
    machine, its drivers and runtimes, and these very variants: from now on it goes before every
    other. Raises `NothingFitsError` if no variant could be raced or none keeps the limits.
    """
    folder = Path(release)
    content, name = _read(folder, model)
    variants = _of_target(content, name, target)
    wish = objective or variants[0].objective
    usable = _usable(content, name, target, wish)
    beyond = {one.name: why for one in usable if (why := _beyond(one, wish))}
    failed: dict[str, str] = {}
    chosen = [
        one
        for device in _by_device(one for one in usable if one.name not in beyond)
        for one in _chosen(folder, device, top, failed=failed, progress=progress)
    ]
    raced = _race(chosen, failed, progress)
    places = tuned.places(raced, usable, wish)
    refused = {**failed, **beyond}
    _check(name, places, refused)
    found = Tuned(
        model=name,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        objective=wish,
        raced=tuple(raced),
        refused={variant: reason[:_LONGEST] for variant, reason in failed.items()},
    )
    return Tuning(
        model=name,
        objective=wish,
        places=tuple(places),
        refused=refused,
        remembered=tuned.remember(content, target, found),
    )


def _read(folder: Path, model: str | None) -> tuple[Catalog, str]:
    if hosts.RECORDED in os.environ:
        raise BadInputError(
            f"{hosts.RECORDED} stands for another machine, and only this one can be timed",
            "Unset it",
        )
    content = store.read(folder)
    if model is None and len(content.models) != 1:
        names = ", ".join(sorted(content.models)) or "none"
        raise BadInputError(f"{folder} does not hold one model but: {names}", "Name one of them")
    return content, model or next(iter(content.models))


def _of_target(content: Catalog, model: str, target: str | None) -> list[Variant]:
    """Return the variants that may take part, at least one."""
    variants = content.model(model).variants
    if target is not None or not variants:
        known = sorted({variant.target for variant in variants})
        check_target(target or "any", known, because("target.no-variant", model))
    return [variant for variant in variants if target in {None, variant.target}]


def _usable(
    content: Catalog, model: str, target: str | None, wish: Objective
) -> tuple[Variant, ...]:
    """Return what this machine accepts, best first, with every backend that counts probed."""

    def judged(host: hosts.Host) -> tuple[Decision, ...]:
        return resolve(content, model, host, target=target, objective=wish)

    host = hosts.detect()
    wanted = {decision.variant.backend for decision in judged(host) if decision.accepted}
    probes = registry.probe_all(sorted(wanted & set(registry.names())))
    broken = {name: probe.reason for name, probe in probes.items() if probe.reason}
    decisions = judged(msgspec.structs.replace(host, broken={**host.broken, **broken}))
    best(decisions)
    return tuple(decision.variant for decision in decisions if decision.accepted)


def _beyond(variant: Variant, wish: Objective) -> str | None:
    """Return which limit is not kept, as far as the catalog alone tells."""
    known = {name: bound for name, bound in wish.at_most.items() if name in _BEFORE}
    return outside(tuned.merits(variant), msgspec.structs.replace(wish, at_most=known))


def _by_device(variants: Iterable[Variant]) -> Iterator[list[Variant]]:
    """Yield each device's variants: first the best of each target, then the others."""
    devices: dict[str, list[Variant]] = {}
    for variant in variants:
        devices.setdefault(variant.device, []).append(variant)
    for found in devices.values():
        firsts = {one.target: one.name for one in reversed(found)}.values()
        yield sorted(found, key=lambda one: one.name not in firsts)


def _chosen(
    folder: Path,
    variants: Iterable[Variant],
    top: int,
    *,
    failed: dict[str, str],
    progress: Progress,
) -> Iterator[tuple[Variant, Artifact]]:
    """Yield the first `top` that open and compute right; note why others before them do not."""
    found = 0
    for variant in variants:
        if found == top:
            return
        progress(variant.name, "testing itself")
        try:
            artifact = _tested(store.place(folder, variant), variant)
        except (WhisperoptError, OSError) as error:
            failed[variant.name] = str(error).rstrip(".")
        else:
            found += 1
            yield variant, artifact


def _tested(place: Path, variant: Variant) -> Artifact:
    """Return the artifact if it may take part; raise `WhisperoptError` with the reason if not."""
    if problem := difference(place, variant):
        raise WhisperoptError(f"its files are not what the catalog says: {problem}")
    artifact = artifacts.read(place)
    first_open.try_out(artifact)
    return artifact


def _race(
    chosen: Sequence[tuple[Variant, Artifact]], failed: dict[str, str], progress: Progress
) -> list[Raced]:
    """Race on the clips that ship with whisperopt; note why some fell out."""
    from whisperopt.evaluate import clips
    from whisperopt.evaluate.race import Entrant, run

    if not chosen:
        return []
    manifest = chosen[0][1].manifest
    clip_set = clips.read(clips.packaged()).within(
        manifest.dims.window, manifest.decoding.known_languages
    )
    entrants = [Entrant(variant.name, artifact.path) for variant, artifact in chosen]
    races: Mapping[str, Race | Failure] = run(
        entrants,
        clip_set,
        memory_bytes=_least_memory(variant for variant, _ in chosen),
        progress=lambda doing: progress("", doing),
    )
    failed |= {
        name: f"fell out of the race: {race}"
        for name, race in races.items()
        if isinstance(race, Failure)
    }
    digests = {variant.name: variant.digest for variant, _ in chosen}
    return [
        Raced(variant=name, digest=digests[name], race=race)
        for name, race in races.items()
        if not isinstance(race, Failure)
    ]


def _least_memory(variants: Iterable[Variant]) -> int | None:
    """Return the memory of the smallest GPU that takes part, if one does and tells it."""
    host = hosts.detect()
    known = [host.memory_of(variant.device) for variant in variants]
    return min((memory for memory in known if memory), default=None)


def _check(model: str, places: Sequence[Place], refused: Mapping[str, str]) -> None:
    """Raise `NothingFitsError` if there is no winner."""
    if any(place.within for place in places):
        return
    why = {**{place.variant.name: place.why for place in places}, **refused}
    raise NothingFitsError(
        f"No variant of {model} won on this machine: "
        + "; ".join(f"{name}: {reason}" for name, reason in why.items()),
        "Ease the limits, or see what `whisperopt doctor` says",
    )
