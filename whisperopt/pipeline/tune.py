"""Races the best variants of a release on this machine, once, and remembers who won."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from whisperopt import artifact as artifacts
from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.download import difference, whole
from whisperopt.errors import BadInputError, NothingFitsError, WhisperoptError
from whisperopt.evaluate.evidence import Race
from whisperopt.matrix import Objective, check_target
from whisperopt.pipeline import Progress
from whisperopt.reasons import because
from whisperopt.release import store
from whisperopt.release.catalog import Catalog, Variant
from whisperopt.results.variant import of_catalog
from whisperopt.runtime import first_open
from whisperopt.selection import tuned
from whisperopt.selection.compare import outside
from whisperopt.selection.decisions import best, choose
from whisperopt.selection.rank import Ranked
from whisperopt.selection.tuned import Raced, Tuned

_LONGEST = 1000
_BEFORE = ("size_bytes", "wer_delta")
"""The limits that can be checked before a race."""


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """What a tuning found: the raced variants, best first, and why others were not."""

    model: str
    objective: Objective
    places: tuple[Ranked, ...]
    races: dict[str, Race]
    """By variant."""
    refused: dict[str, str]
    remembered: Path
    """The file that `load`, `explain` and `fetch` look into from now on."""

    @property
    def winner(self) -> str:
        """The variant that goes first on this machine from now on."""
        return self.places[0].name


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
    wish = objective or _first_objective(content, name, target)
    decisions = choose(content, name, target=target, objective=wish, racing=True)
    best(decisions)
    results = {d.variant.name: of_catalog(d.variant) for d in decisions if d.accepted}
    early = {limit: bound for limit, bound in wish.at_most.items() if limit in _BEFORE}
    beyond = {
        name: str(limit)
        for name, result in results.items()
        if (limit := outside(tuned.untimed(result), Objective(at_most=early)))
    }
    usable = [result.variant for name, result in results.items() if name not in beyond]
    failed: dict[str, str] = {}
    entrants = [*_entrants(folder, name, usable, top, failed=failed, progress=progress)]
    raced = []
    for variant, race in _race(entrants, progress).items():
        if isinstance(race, Race):
            digest = results[variant].variant.digest
            raced.append(Raced(variant=variant, digest=digest, race=race))
        else:
            failed[variant] = str(because("tuned.fell-out", race))
    places = tuned.rank_raced(raced, results.values(), wish)
    refused = {**failed, **beyond}
    if not any(place.within for place in places):
        why = {**{place.name: str(place.reason) for place in places}, **refused}
        told = "; ".join(f"{variant}: {reason}" for variant, reason in why.items())
        raise NothingFitsError(because("tuned.nobody-won", name, why=told))
    found = Tuned(
        model=name,
        started=datetime.now(UTC),
        objective=wish,
        raced=tuple(raced),
        refused={variant: reason[:_LONGEST] for variant, reason in failed.items()},
    )
    return Tuning(
        model=name,
        objective=wish,
        places=places,
        races={entry.variant: entry.race for entry in raced},
        refused=refused,
        remembered=tuned.remember(content, target, found),
    )


def _read(folder: Path, model: str | None) -> tuple[Catalog, str]:
    if hosts.RECORDED in os.environ:
        raise BadInputError(because("tuned.recorded", hosts.RECORDED))
    content = store.read(folder)
    if model is None and len(content.models) != 1:
        names = ", ".join(sorted(content.models)) or "none"
        raise BadInputError(because("tuned.which-model", folder, names=names))
    return content, model or next(iter(content.models))


def _first_objective(content: Catalog, model: str, target: str | None) -> Objective:
    """Return what the variants that may take part were built for."""
    variants = content.model(model).variants
    if target is not None or not variants:
        known = sorted({variant.target for variant in variants})
        check_target(target or "any", known, because("target.no-variant", model))
    return next(v.objective for v in variants if target in {None, v.target})


def _entrants(
    folder: Path,
    model: str,
    variants: Sequence[Variant],
    top: int,
    *,
    failed: dict[str, str],
    progress: Progress,
) -> Iterator[tuple[Variant, Artifact]]:
    """Yield the first `top` of each device that open and compute right; note why others do not.

    The best of each target go before the others.
    """
    devices = [*dict.fromkeys(variant.device for variant in variants)]
    firsts = {variant.target: variant.name for variant in reversed(variants)}.values()
    found: Counter[str] = Counter()
    for variant in sorted(variants, key=lambda v: (devices.index(v.device), v.name not in firsts)):
        if found[variant.device] == top:
            continue
        progress(variant.name, "testing itself")
        try:
            artifact = _tested(folder, model, variant)
        except (WhisperoptError, OSError) as error:
            failed[variant.name] = str(error).rstrip(".")
        else:
            found[variant.device] += 1
            yield variant, artifact


def _tested(folder: Path, model: str, variant: Variant) -> Artifact:
    """Return the artifact if it may take part; raise `WhisperoptError` with the reason if not."""
    place = whole(folder, model, variant)
    if problem := difference(place, variant):
        raise WhisperoptError(because("tuned.other-files", why=problem))
    artifact = artifacts.read(place)
    first_open.try_out(artifact)
    return artifact


def _race(
    entrants: Sequence[tuple[Variant, Artifact]], progress: Progress
) -> Mapping[str, Race | object]:
    """Race on the clips that ship with whisperopt; return times, or why somebody fell out."""
    from whisperopt.evaluate import clips
    from whisperopt.evaluate.race import run

    if not entrants:
        return {}
    manifest = entrants[0][1].manifest
    clip_set = clips.read(clips.packaged()).within(
        manifest.dims.window, manifest.decoding.known_languages
    )
    host = hosts.detect()
    memory = [host.memory_of(variant.device) for variant, _ in entrants]
    return run(
        [(variant.name, artifact.path) for variant, artifact in entrants],
        clip_set,
        memory_bytes=min((known for known in memory if known), default=None),
        progress=lambda doing: progress("", doing),
    )
