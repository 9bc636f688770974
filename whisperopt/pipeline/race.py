"""Races what was measured: the variants of one device side by side, whatever their target."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.race import timed
from whisperopt.evaluate.trial import NoEvidence
from whisperopt.pipeline.build_cache import BuildCache
from whisperopt.pipeline.trials import Trials
from whisperopt.reasons import because
from whisperopt.results.grading import GradingContext
from whisperopt.results.variant import Proof, VariantResult


class _Finish(msgspec.Struct, frozen=True):
    """What became of the entrants of one race."""

    evidence: dict[str, Evidence]
    """With times, of those that came through."""
    fell_out: dict[str, str]
    """Why the others did not."""


def raced(
    results: Sequence[VariantResult],
    grading: GradingContext,
    trials: Trials | None,
    folder: Path,
    known: BuildCache | None = None,
) -> list[VariantResult]:
    """Return `results` with times of a race in the proofs of everything that passed here.

    The variants are in `folder`. The very same ones are not raced again: `known` has the times of
    an earlier build.
    """
    if trials is None or trials.case is None:
        return list(results)
    entrants: dict[str, dict[str, VariantResult]] = {}
    for result in results:
        if _measured(result):
            entrants.setdefault(result.variant.device, {})[result.name] = result
    found: dict[str, VariantResult] = {}
    for device, group in entrants.items():
        finish = _finish(device, group, trials, folder, known or BuildCache())
        for name, evidence in finish.evidence.items():
            proof = grading.judge(group[name].variant, evidence)
            found[name] = group[name].with_proof(proof) if proof else group[name]
        for name, why in finish.fell_out.items():
            found[name] = _fallen(group[name], why)
    return [found.get(result.name, result) for result in results]


def _measured(result: VariantResult) -> Proof | None:
    proof = result.of(result.host_class)
    return proof if proof and proof.accepted and proof.tier is Tier.MEASURED else None


def _finish(
    device: str,
    group: dict[str, VariantResult],
    trials: Trials,
    folder: Path,
    known: BuildCache,
) -> _Finish:
    proofs = {name: _measured(result) for name, result in group.items()}
    entrants = {name: p.evidence for name, p in proofs.items() if p and p.evidence}
    finish = known.recall("races", _Finish, entrants)
    if finish is not None or trials.case is None:
        return finish or _Finish({}, {})
    trials.progress("race", f"{len(entrants)} variants in turn")
    found = timed(
        entrants,
        {name: folder / group[name].variant.path for name in entrants},
        trials.case.clip_set,
        threads=trials.host.cores,
        memory_bytes=trials.host.memory_of(device),
        progress=lambda line: trials.progress("race", line),
    )
    finish = _Finish(
        {name: times for name, times in found.items() if isinstance(times, Evidence)},
        {name: times.reason for name, times in found.items() if isinstance(times, NoEvidence)},
    )
    if not finish.fell_out:
        known.keep("races", finish, entrants)
    return finish


def _fallen(result: VariantResult, why: str) -> VariantResult:
    """Refuse what fell out of the race; its samples stay, though they do not show why."""
    proof = result.of(result.host_class)
    if proof is None:
        return result
    fallen = msgspec.structs.replace(proof, reasons=(because("check.race", why),))
    return msgspec.structs.replace(result.with_proof(fallen), certain=False)
