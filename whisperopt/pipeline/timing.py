"""Races what was measured: the variants of one device side by side, whatever their target."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate.case import Case
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.prover import NoEvidence
from whisperopt.evaluate.race import timed
from whisperopt.pipeline.build import Progress
from whisperopt.pipeline.build_cache import BuildCache
from whisperopt.results.outcome import Lot, Outcome


class Race(msgspec.Struct, frozen=True):
    """What became of the entrants of one race."""

    evidence: dict[str, Evidence]
    """With times, of those that came through."""
    fell_out: dict[str, str]
    """Why the others did not."""


def raced(
    lots: Sequence[Lot],
    case: Case | None,
    staging: Path,
    progress: Progress,
    known: BuildCache | None = None,
) -> tuple[Lot, ...]:
    """Return `lots` with times of a race in the evidence of everything that passed here.

    The very same variants are not raced again: `known` has the times of an earlier build.
    """
    if case is None:
        return tuple(lots)
    found: dict[str, Outcome] = {}
    for device in dict.fromkeys(lot.target.device for lot in lots):
        found |= _on_one_device(
            [lot for lot in lots if lot.target.device == device],
            case,
            staging,
            progress,
            known or BuildCache(),
        )
    return tuple(
        msgspec.structs.replace(
            lot, outcomes=tuple(found.get(o.manifest.variant, o) for o in lot.outcomes)
        )
        for lot in lots
    )


def _on_one_device(
    lots: Sequence[Lot], case: Case, staging: Path, progress: Progress, known: BuildCache
) -> dict[str, Outcome]:
    targets = {o.manifest.variant: lot.target for lot in lots for o in lot.outcomes}
    outcomes = {
        o.manifest.variant: o
        for lot in lots
        for o in lot.outcomes
        if o.tier is Tier.MEASURED and not o.failure
    }
    if not outcomes:
        return {}
    entrants = {name: o.evidence for name, o in outcomes.items() if o.evidence is not None}
    race = known.recall("races", Race, entrants)
    if race is None:
        progress("race", f"{len(outcomes)} variants in turn")
        found = timed(
            entrants,
            {name: staging / f"{o.manifest.model}--{name}" for name, o in outcomes.items()},
            case.clip_set,
            threads=case.host.cores,
            memory_bytes=case.host.memory_of(lots[0].target.device),
            progress=lambda line: progress("race", line),
        )
        race = Race(
            {name: one for name, one in found.items() if isinstance(one, Evidence)},
            {name: one.reason for name, one in found.items() if isinstance(one, NoEvidence)},
        )
        if not race.fell_out:
            known.keep("races", race, entrants)
    judged = {
        name: outcomes[name].judged(one, case.answers, targets[name])
        for name, one in race.evidence.items()
    }
    return judged | {
        name: msgspec.structs.replace(outcomes[name], failure=reason, certain=False)
        for name, reason in race.fell_out.items()
    }
