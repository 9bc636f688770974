"""The checks of a variant, in order, for what a build makes and for what is there already.

Each takes what is known of a variant and returns it with what was found, and with the reasons if it
is refused. What differs between a build and a validation is in the context alone.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import onnx_ir as ir
from packaging.version import Version

from whisperopt import artifact, cache
from whisperopt.backend import Backend, Recipe, Tier
from whisperopt.download import difference
from whisperopt.errors import BadInputError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate.case import graphs_digest
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.trial import NoEvidence
from whisperopt.graph.core import PARTS
from whisperopt.graph.inference import inferred
from whisperopt.matrix import Device
from whisperopt.pipeline.trials import Trials
from whisperopt.reasons import Reason, because, escaped
from whisperopt.rehearsal import rehearse
from whisperopt.results.variant import Proof, VariantResult
from whisperopt.static_checks import equivalence as equivalences
from whisperopt.static_checks import structure as structures
from whisperopt.static_checks import weights as comparisons

_T = TypeVar("_T")
_COSTLY = {"equivalence", "rehearsal", "trial"}
"""What is not begun when time is over."""
_CORE = "the core model"
_CORE_KIND = ("fp32",), "block", None
"""What of a recipe decides how it rounds: precisions, form of 8-bit weights, audio tail."""


class CheckContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks of a variant rest on."""

    trials: Trials
    backend: Backend | Reason
    """Or why it cannot be tried at all on this machine."""
    here: bool
    """Whether its runtime and device are here; if not, it is emulated."""
    left_out: frozenset[str]
    """The checks that do not apply, by name."""


def check(result: VariantResult, context: CheckContext) -> VariantResult:
    """Run one check after another until one refuses the variant, or cannot be made here."""
    for name, run in CHECKS.items():
        if name in context.left_out:
            continue
        if name in _COSTLY and context.trials.budget.over:
            return undecided(result, context.trials)
        result = run(result, context)
        if not result.passes:
            break
        result = msgspec.structs.replace(result, passed=(*result.passed, name))
    return result


def refuse(
    result: VariantResult, *reasons: Reason, tier: Tier = Tier.STRUCTURAL, certain: bool = True
) -> VariantResult:
    """Return `result` with `reasons` against it and no samples; `tier` is what it failed at."""
    proof = Proof(
        host_class=result.host_class,
        tier=tier,
        reasons=reasons,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return msgspec.structs.replace(result.with_proof(proof), certain=result.certain and certain)


def undecided(result: VariantResult, trials: Trials) -> VariantResult:
    """Return what is known of a variant when time is over: of one in a release, what stands there."""
    why = because("budget.undecided", seconds=f"{trials.budget.seconds:g}")
    if "structure" not in result.passed:
        return _skip(msgspec.structs.replace(result, proofs=()), why)
    return msgspec.structs.replace(_shown(result, str(why)), certain=False)


def files(result: VariantResult, context: CheckContext) -> VariantResult:
    """The files are those of the catalog, and the manifest says what they are."""
    folder = context.trials.folder / result.variant.path
    if not folder.is_dir():
        return _skip(result, because("check.no-folder", folder.name))
    if why := difference(folder, result.variant, context.trials.folder):
        return _skip(result, because("check.damaged", why))
    try:
        found = artifact.read(folder)
    except BadInputError as error:
        return refuse(result, error.reason)
    if found.name != f"{result.model}--{result.name}":
        return refuse(result, because("check.other-name", escaped(found.name)))
    return result


def structure(result: VariantResult, context: CheckContext) -> VariantResult:
    """The runtime's table takes every node."""
    context.trials.progress(result.name, "checking every node")
    table, built = _given(context.backend).capabilities(), _artifact(result, context)
    reports = [
        structures.judge(_inferred(built.graph(part), context.trials.graphs), table, part=part)
        for part in PARTS
    ]
    refused = [report.summary() for report in reports if not report.accepted]
    since = max((report.since for report in reports), key=lambda v: Version(v or "0"))
    oldest = {"runtime": f">={since}"} if since else {}
    requires = result.variant.requires | oldest
    result = msgspec.structs.replace(
        result,
        variant=msgspec.structs.replace(result.variant, requires=requires),
        how=f"every node against {table.runtime} {table.version}",
        conditions=tuple(dict.fromkeys(c for report in reports for c in report.conditions)),
    )
    return refuse(result, *refused) if refused else result


def weights(result: VariantResult, context: CheckContext) -> VariantResult:
    """Every weight is the checkpoint's: noise of small numbers hides much."""
    context.trials.progress(result.name, "comparing weights")
    built, gates = _artifact(result, context), context.trials.grading.gates(result.variant)
    try:
        core, recipe = _given(context.trials.core), built.manifest.recipe
        found = comparisons.check(core, built.path, recipe, gates, context.trials.weights)
    except (MemoryError, OSError):  # this machine's trouble, not the files'
        raise
    except Exception as error:  # noqa: BLE001  # the graphs may be anybody's
        return refuse(result, because("check.weights-unread", why=str(error)), certain=False)
    result = _shown(result, f"{found.compared} of {found.of} weights are the checkpoint's")
    return refuse(result, *found.reasons) if found.reasons else result


def equivalence(result: VariantResult, context: CheckContext) -> VariantResult:
    """With exact weights the graphs compute what the core model does: coarse ones hide faults."""
    context.trials.progress(result.name, "comparing graphs")
    built, core = _artifact(result, context), _given(context.trials.core)
    known, recipe = context.trials.equivalences, built.manifest.recipe
    graphs = graphs_digest(result.variant.files), recipe.form
    if graphs not in known:
        known[graphs] = equivalences.check(core, built.path, recipe, context.trials.scratch)
    found = known[graphs]
    how = "with exact weights the graphs compute what the core model computes"
    if found.not_compared:
        how = f"not compared with exact weights: {found.not_compared}"
    result = msgspec.structs.replace(_shown(result, how), certain=found.certain)
    return refuse(result, found.reason) if found.reason else result


def rehearsal(result: VariantResult, context: CheckContext) -> VariantResult:
    """The real runtime, without its device, takes it."""
    context.trials.progress(result.name, "rehearsing")
    built, stages = _artifact(result, context), _given(context.backend).rehearsals()
    rehearsals = rehearse(built, stages, context.trials.scratch)
    result = msgspec.structs.replace(result, rehearsals=rehearsals)
    result = _shown(
        result, *(f"{r.runtime} {r.version}: {r.reason}" for r in rehearsals if r.passed)
    )
    refused = [
        because("check.rehearsal", r.name, why=r.reason) for r in rehearsals if r.passed is False
    ]
    return refuse(result, *refused, certain=False) if refused else result


def trial(result: VariantResult, context: CheckContext) -> VariantResult:
    """It says to the clips what the core model says, on its device or emulated on the CPU."""
    if isinstance(context.backend, Reason):
        return _skip(result, context.backend)
    built, variant = _artifact(result, context), result.variant
    if not context.here and "bf16" in variant.precisions:
        return _shown(result, "nothing here can stand in for it to compute bfloat16")
    recipe, heard = built.manifest.recipe, context.trials.emulated
    kind = variant.precisions, recipe.int8, recipe.audio_tail
    equal = _is_equal(result, recipe, context.trials)
    same = _CORE if context.here or kind == _CORE_KIND else heard.get(kind, "")
    result = hear(
        result, context.trials, context.backend, here=context.here, same=same if equal else ""
    )
    in_full = (p.accepted and p.evidence and not p.evidence.stride for p in result.proofs)
    if equal and not context.here and any(in_full):
        heard.setdefault(kind, result.name)
    return result


def hear(
    result: VariantResult, trials: Trials, backend: Backend, *, here: bool, same: str | None
) -> VariantResult:
    """Let a variant hear clips until its verdict is known; by default all that its tier asks for.

    Where it may be enough to hear fewer, `same` says what computes the same with exact weights, or
    is empty. What passes with fewer is no worse than accepted: see `race.settled`. What fails goes
    on to all, unless no other clip can save it.
    """
    variant = result.variant
    built = artifact.read(trials.place(variant))
    case, tier = trials.open(built.manifest), Tier.MEASURED if here else Tier.EMULATED
    if case is None:
        return undecided(result, trials)
    trials.progress(result.name, "proving")
    strides = () if same is None else clip_sets.strides(case.clip_set.clips, tier, same=bool(same))
    device = msgspec.convert(variant.device, Device)
    evidence = case.prove(built, variant.files, device, backend, here=here, strides=strides)
    if isinstance(evidence, NoEvidence):
        if evidence.late:
            return undecided(result, trials)
        why = because("check.trial", evidence.reason)
        return refuse(result, why, tier=Tier.MEASURED, certain=evidence.certain)
    proof = trials.grading.judge(variant, evidence)
    if proof is None:
        return refuse(result, because("gates.no-numbers"), tier=Tier.MEASURED, certain=False)
    if evidence.stride:
        if not proof.accepted and not trials.grading.hopeless(variant, evidence):
            return hear(result, trials, backend, here=here, same=None)
        why = _enough(proof, evidence, of=len(case.clip_set.clips), same=same or "")
        evidence = msgspec.structs.replace(evidence, enough=str(why))
        proof = trials.grading.judge(variant, evidence) or proof
    return _shown(result, evidence.how).with_proof(proof)


def _is_equal(result: VariantResult, recipe: Recipe, trials: Trials) -> bool:
    """Say whether a variant, just made, was seen to compute what the core does by exact weights.

    A core with pooled heads is another one.
    """
    found = trials.equivalences.get((graphs_digest(result.variant.files), recipe.form))
    compared = found is not None and not found.not_compared and recipe.kv_heads is None
    return compared and "structure" in result.passed


def _enough(proof: Proof, evidence: Evidence, *, of: int, same: str) -> Reason:
    """Say why a verdict needed no more clips."""
    heard = sum(not sample.warm_up for sample in evidence.samples)
    if not proof.accepted:
        return because("hearing.certain", heard=heard, of=of)
    if evidence.stride == clip_sets.FEW:
        return because("hearing.same", same, heard=heard, of=of)
    return because("hearing.spare", heard=heard, of=of)


CHECKS: Mapping[str, Callable[[VariantResult, CheckContext], VariantResult]] = {
    "files": files,
    "structure": structure,
    "weights": weights,
    "equivalence": equivalence,
    "rehearsal": rehearsal,
    "trial": trial,
}
"""By name, in order; behind the trial comes a race of all that passed."""


def _given(value: _T | Reason | None) -> _T:
    """Return what a check needs; where that is not there, the check is `left_out`."""
    if value is None or isinstance(value, Reason):
        raise TypeError("a check that does not apply was made")
    return value


def _artifact(result: VariantResult, context: CheckContext) -> artifact.Artifact:
    return artifact.read(context.trials.place(result.variant))


def _inferred(path: Path, seen: dict[str, ir.Model]) -> ir.Model:
    name = cache.sha256(path)
    if name not in seen:
        seen[name] = inferred(ir.load(path))
    return seen[name]


def _skip(result: VariantResult, why: Reason) -> VariantResult:
    return msgspec.structs.replace(result, skipped=why)


def _shown(result: VariantResult, *how: str) -> VariantResult:
    """Return `result` with more words on what its tier rests on."""
    return msgspec.structs.replace(result, how="; ".join(filter(None, (result.how, *how))))
