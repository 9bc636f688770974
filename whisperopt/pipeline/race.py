"""Races what was measured: the variants of one device side by side, whatever their target."""

from collections.abc import Mapping, Sequence

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.race import timed
from whisperopt.evaluate.trial import NoEvidence
from whisperopt.pipeline.trials import Trials
from whisperopt.reasons import because
from whisperopt.results.variant import VariantResult


def raced(results: Sequence[VariantResult], trials: Trials) -> list[VariantResult]:
    """Return `results` with times of a race in the proofs of everything that passed here.

    The very same variants are not raced again if the times of an earlier build are known.
    """
    if trials.case is None:
        return list(results)
    entrants: dict[str, dict[str, VariantResult]] = {}
    for result in results:
        if _measured(result):
            entrants.setdefault(result.variant.device, {})[result.name] = result
    found: dict[str, VariantResult] = {}
    for device, group in entrants.items():
        for name, times in _times(device, group, trials, trials.case.clip_set).items():
            found[name] = _finished(group[name], times, trials)
    return [found.get(result.name, result) for result in results]


def _measured(result: VariantResult) -> Evidence | None:
    """Return the samples of a variant that was measured here and passed."""
    proof = result.of(result.host_class)
    passed = proof and proof.accepted and proof.tier is Tier.MEASURED
    return proof.evidence if proof and passed else None


def _times(
    device: str, group: dict[str, VariantResult], trials: Trials, clip_set: ClipSet
) -> Mapping[str, Evidence | NoEvidence]:
    """Return the samples of each variant with its times, or why it fell out."""
    entrants = {name: samples for name, r in group.items() if (samples := _measured(r))}
    if known := trials.known.recall("races", dict[str, Evidence], entrants):
        return known
    trials.progress("race", f"{len(entrants)} variants in turn")
    groups: dict[str, list[str]] = {}
    for name in entrants:
        groups.setdefault(group[name].variant.target, []).append(name)
    found = timed(
        entrants,
        {name: trials.place(group[name].variant) for name in entrants},
        clip_set,
        threads=trials.host.cores,
        memory_bytes=trials.host.memory_of(device),
        groups=groups,
        progress=lambda line: trials.progress("race", line),
    )
    if not any(isinstance(times, NoEvidence) for times in found.values()):
        trials.known.keep("races", found, entrants)
    return found


def _finished(
    result: VariantResult, times: Evidence | NoEvidence, trials: Trials
) -> VariantResult:
    """Judge anew with times; what fell out is refused, and its samples, which show no why, stay."""
    if isinstance(times, Evidence):
        timed_proof = trials.grading.judge(result.variant, times)
        return result.with_proof(timed_proof) if timed_proof else result
    proof = result.of(result.host_class)
    if proof is None:
        return result
    fallen = msgspec.structs.replace(proof, reasons=(because("check.race", times.reason),))
    return msgspec.structs.replace(result.with_proof(fallen), certain=False)
