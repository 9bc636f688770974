"""Races what was measured: the variants of one device side by side, whatever their target."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from whisperopt.backend import Tier
from whisperopt.builder.line import Progress
from whisperopt.builder.outcome import Lot, Outcome
from whisperopt.proof.case import Case
from whisperopt.proof.prover import NoEvidence
from whisperopt.racing.attach import timed


def raced(
    lots: Sequence[Lot], case: Case | None, staging: Path, progress: Progress
) -> tuple[Lot, ...]:
    """Return `lots` with times of a race in the evidence of everything that passed here."""
    if case is None:
        return tuple(lots)
    found: dict[str, Outcome] = {}
    for device in dict.fromkeys(lot.target.device for lot in lots):
        found |= _on_one_device(
            [lot for lot in lots if lot.target.device == device], case, staging, progress
        )
    return tuple(
        msgspec.structs.replace(
            lot, outcomes=tuple(found.get(o.manifest.variant, o) for o in lot.outcomes)
        )
        for lot in lots
    )


def _on_one_device(
    lots: Sequence[Lot], case: Case, staging: Path, progress: Progress
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
    progress("race", f"{len(outcomes)} variants in turn")
    evidence = timed(
        {name: o.evidence for name, o in outcomes.items() if o.evidence is not None},
        {name: staging / f"{o.manifest.model}--{name}" for name, o in outcomes.items()},
        case.clip_set,
        threads=case.host.cores,
        memory_bytes=case.host.memory_of(lots[0].target.device),
        progress=lambda line: progress("race", line),
    )
    return {
        name: msgspec.structs.replace(outcomes[name], failure=one.reason)
        if isinstance(one, NoEvidence)
        else outcomes[name].judged(one, case.answers, targets[name])
        for name, one in evidence.items()
    }
