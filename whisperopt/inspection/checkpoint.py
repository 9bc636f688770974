"""Inspects a checkpoint, and holds its core model against the ladder of every target."""

from typing import get_args

from whisperopt import matrix as matrices
from whisperopt import registry
from whisperopt.backend import Recipe, Tier
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import PARTS, CoreModel
from whisperopt.inspection import facts
from whisperopt.inspection.facts import (
    AttentionChoice,
    AttentionKind,
    CheckpointFacts,
    Ladder,
    Rung,
)
from whisperopt.inspection.graphs import count_operators
from whisperopt.matrix import LATENCY, Matrix, Target
from whisperopt.passes.plan import make
from whisperopt.reasons import Reason, because
from whisperopt.results.variant import Proof, VariantResult, unmade
from whisperopt.selection.rank import rank
from whisperopt.static_checks import structure
from whisperopt.static_checks.capability import CapabilityTable

_KINDS: tuple[AttentionKind, ...] = get_args(AttentionKind)


def inspect_checkpoint(checkpoint: Checkpoint, matrix: Matrix | None = None) -> CheckpointFacts:
    """Count and measure `checkpoint`, and say what each target of `matrix` would make of it.

    `matrix` is by default the one that ships with whisperopt. Graphs are drawn and rewritten in
    memory: only the smallest weights are read, and nothing is written.
    """
    core, dims = CoreModel(checkpoint), checkpoint.dims
    targets = (matrix or matrices.load()).targets
    return CheckpointFacts(
        model=checkpoint.name,
        source=checkpoint.source,
        dims=dims,
        parameters=facts.parameters(checkpoint),
        attention=facts.attention_layers(dims),
        caches=(facts.cache_bytes(dims, "fp32"), facts.cache_bytes(dims, "fp16")),
        operators={part: count_operators(core.part(part)) for part in PARTS},
        targets=tuple(climb(core, target) for target in targets),
    )


def climb(core: CoreModel, target: Target) -> Ladder:
    """Hold every recipe of `target` against its backend's table, and select as a build would.

    A backend that cannot be used is a ladder without rungs, with the reason.
    """
    try:
        backend = registry.require_for(target)
        recipes = registry.ladder(target, backend)
        table = backend.capabilities()
    except WhisperoptError as error:
        return _ladder(target, "", (), str(error))
    results, conditions = [], {}
    for place, recipe in enumerate(recipes):
        reasons, conditions[recipe.name] = _structure(core, recipe, table)
        variant = unmade(target, backend, recipe, name=recipe.name, place=place)
        proof = Proof(host_class="", tier=Tier.STRUCTURAL, reasons=reasons)
        results.append(VariantResult(variant=variant, proofs=(proof,)))
    ranked = {entry.name: entry for entry in rank(results, LATENCY, None)}
    rungs = tuple(
        Rung(
            recipe=recipe.name,
            forms={kind: getattr(recipe, f"{kind}_attention") for kind in _KINDS},
            taken=ranked[recipe.name].selected,
            accepted=ranked[recipe.name].accepted,
            waits=ranked[recipe.name].waits,
            reason=str(ranked[recipe.name].reason),
            conditions=conditions[recipe.name],
        )
        for recipe in recipes
    )
    return _ladder(target, f"{table.runtime} {table.version}", rungs)


def _structure(
    core: CoreModel, recipe: Recipe, table: CapabilityTable
) -> tuple[tuple[Reason, ...], tuple[str, ...]]:
    """Return what the structural check has against a recipe, and what its graphs must keep to."""
    refusals: list[Reason] = []
    conditions: dict[str, None] = {}
    for part in PARTS:
        try:
            report = structure.check(make(recipe, core, part), table, part=part)
        except WhisperoptError as error:  # a pass that cannot rewrite this model
            refusals.append(because("recorded.text", error))
            continue
        conditions |= dict.fromkeys(report.conditions)
        if not report.accepted:
            refusals.append(report.summary())
    return tuple(refusals), tuple(conditions)


def _ladder(target: Target, runtime: str, rungs: tuple[Rung, ...], unusable: str = "") -> Ladder:
    taken = next((rung for rung in rungs if rung.taken), None)
    above = rungs[: rungs.index(taken)] if taken else rungs
    first = f"the first rung whose every node {runtime} executes and that waits for no device"
    reasons = [first if taken else unusable or "no rung can be taken"]
    reason = "; ".join([*reasons, *(f"not {rung.recipe}: {rung.reason}" for rung in above)])
    return Ladder(
        target=target.name,
        backend=target.backend,
        runtime=runtime,
        attention=tuple(
            AttentionChoice(
                attention=kind,
                rung=taken.recipe if taken else None,
                form=taken.forms[kind] if taken else None,
                reason=reason,
            )
            for kind in _KINDS
        ),
        rungs=rungs,
    )
