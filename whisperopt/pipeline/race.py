"""Races what was measured: the variants of one device side by side, whatever their target."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from whisperopt.backend import Backend, Tier
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.race import timed
from whisperopt.evaluate.trial import NoEvidence
from whisperopt.matrix import Objective
from whisperopt.pipeline.checks import hear, refuse, undecided
from whisperopt.pipeline.trials import Trials
from whisperopt.reasons import Reason, because
from whisperopt.release.catalog import Variant
from whisperopt.results.variant import VariantResult, basis
from whisperopt.selection.rank import rank


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


def settled(
    results: Sequence[VariantResult],
    trials: Trials,
    backend_of: Callable[[Variant], Backend | Reason],
    objective: Objective | None = None,
) -> list[VariantResult]:
    """Return `results` in which everything that is selected, having been measured, heard all clips.

    What fails then makes room for the next. Without an `objective` each target keeps its own.
    """
    found = {result.name: result for result in results}
    if trials.budget.over:
        unraced = [(r, s) for r in results if (s := _measured(r)) and not s.race]
        found |= {r.name: _lowered(r, samples, trials) for r, samples in unraced}
    while short := _selected_too_soon(list(found.values()), objective):
        backend = backend_of(short.variant)
        if isinstance(backend, Reason):  # cannot be: it was tried a moment ago
            break
        found[short.name] = _heard_all(short, trials, backend)
    return list(found.values())


def _selected_too_soon(
    results: Sequence[VariantResult], objective: Objective | None
) -> VariantResult | None:
    for target in dict.fromkeys(result.variant.target for result in results):
        group = [r for r in results if r.variant.target == target and r.skipped is None]
        if not group:
            continue
        host_class = basis(group, group[0].host_class)
        as_if_heard = [_as_if_heard(result) for result in group]
        best = rank(as_if_heard, objective or group[0].variant.objective, host_class)[0]
        chosen = next(result for result in group if result.name == best.name)
        samples = _measured(chosen)
        if best.selected and samples and samples.stride:
            return chosen
    return None


def _as_if_heard(result: VariantResult) -> VariantResult:
    """Return what a variant counts as if it says to all clips what it said to some."""
    proofs = tuple(msgspec.structs.replace(proof, stride=None) for proof in result.proofs)
    return msgspec.structs.replace(result, proofs=proofs)


def _heard_all(result: VariantResult, trials: Trials, backend: Backend) -> VariantResult:
    """Let it go on from where it stopped, unless an earlier build did; its times stay."""
    samples = _measured(result)
    if known := trials.known.recall("outcomes", VariantResult, "all clips", samples):
        return msgspec.structs.replace(result, proofs=known.proofs, how=known.how)
    if samples and trials.budget.over:
        return _lowered(result, samples, trials)
    how = result.how.removesuffix(samples.how).removesuffix("; ") if samples else result.how
    bare = msgspec.structs.replace(result, how=how)
    heard = hear(bare, trials, backend, here=True, same=None)
    proof = heard.of(result.host_class)
    if samples and trials.budget.over and (not proof or proof.evidence is samples):
        return _lowered(result, samples, trials)
    if samples and proof and proof.evidence:
        whole = msgspec.structs.replace(proof.evidence, race=samples.race)
        judged = trials.grading.judge(result.variant, whole)
        heard = heard.with_proof(judged or proof)
    if heard.certain:
        trials.known.keep("outcomes", heard, "all clips", samples)
    return heard


def _lowered(result: VariantResult, samples: Evidence, trials: Trials) -> VariantResult:
    """Return what counts when time was over before all clips were heard, or before a race."""
    if "structure" not in result.passed:
        return undecided(result, trials)
    lower = msgspec.structs.replace(
        samples,
        tier=Tier.EMULATED,
        stride=samples.stride or 1,
        enough=str(because("budget.lower", seconds=f"{trials.budget.seconds:g}")),
        race=None,
    )
    proof = trials.grading.judge(result.variant, lower)
    if proof is None:
        return refuse(result, because("gates.no-numbers"), tier=Tier.MEASURED, certain=False)
    return msgspec.structs.replace(result.with_proof(proof), certain=False)


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
    if trials.budget.over:
        return {}
    trials.progress("race", f"{len(entrants)} variants in turn")
    groups: dict[str, list[str]] = {}
    for name in entrants:
        groups.setdefault(group[name].variant.target, []).append(name)
    found = timed(
        entrants,
        {name: trials.linked(group[name].variant) for name in entrants},
        clip_set,
        threads=trials.host.cores,
        memory_bytes=trials.host.memory_of(device),
        groups=groups,
        ends=trials.budget.ends,
        progress=lambda line: trials.progress("race", line),
    )
    if all(isinstance(times, Evidence) and times.race for times in found.values()):
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
