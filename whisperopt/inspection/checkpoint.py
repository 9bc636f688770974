"""Inspects a checkpoint, and holds its core model against the ladder of every target."""

from collections.abc import Sequence

import msgspec

from whisperopt import matrix as matrices
from whisperopt import registry
from whisperopt.backend import Recipe, Tier
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import PARTS, CoreModel
from whisperopt.inspection.facts import AttentionKind, CheckpointFacts, Choice, Ladder, Rung
from whisperopt.inspection.graphs import count_operators
from whisperopt.inspection.sizes import attention_layers, cache_bytes, parameters
from whisperopt.matrix import Matrix, Target
from whisperopt.passes.plan import make
from whisperopt.selection import select
from whisperopt.selection.select import Candidate, Ranked, Standing
from whisperopt.static_checks import structure
from whisperopt.static_checks.capability import CapabilityTable

_KINDS: tuple[AttentionKind, ...] = ("encoder", "self", "cross")


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
        parameters=parameters(checkpoint),
        attention=attention_layers(dims),
        caches=(cache_bytes(dims, "fp32"), cache_bytes(dims, "fp16")),
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
    tries = [_try(core, target, recipe, table, rank) for rank, recipe in enumerate(recipes)]
    ranking = select.select(
        [one.candidate for one in tries], {one.candidate.name: one.standing for one in tries}
    )
    ranked = {one.name: one for one in ranking}
    rungs = tuple(one.rung(ranked[one.candidate.name]) for one in tries)
    return _ladder(target, f"{table.runtime} {table.version}", rungs)


class _Try(msgspec.Struct, frozen=True, kw_only=True):
    """One recipe after the structural proof of both of its graphs."""

    recipe: Recipe
    candidate: Candidate
    standing: Standing
    conditions: tuple[str, ...]

    def rung(self, ranked: Ranked) -> Rung:
        recipe = self.recipe
        return Rung(
            recipe=recipe.name,
            forms={
                "encoder": recipe.encoder_attention,
                "self": recipe.self_attention,
                "cross": recipe.cross_attention,
            },
            taken=ranked.selected,
            accepted=ranked.accepted,
            waits=select.held(self.candidate, self.standing),
            reason=ranked.reason,
            conditions=self.conditions,
        )


def _try(
    core: CoreModel, target: Target, recipe: Recipe, table: CapabilityTable, rank: int
) -> _Try:
    refusals: list[str] = []
    conditions: dict[str, None] = {}
    for part in PARTS:
        try:
            report = structure.check(make(recipe, core, part), table, part=part)
        except WhisperoptError as error:  # a pass that cannot rewrite this model
            refusals.append(str(error))
            continue
        conditions |= dict.fromkeys(report.conditions)
        if not report.accepted:
            refusals.append(report.summary())
    candidate = Candidate(
        name=recipe.name,
        target=target.name,
        ladder_rank=rank,
        selectable_from=recipe.selectable_from,
        caution=recipe.caution,
    )
    standing = Standing(tier=None if refusals else Tier.STRUCTURAL, failure="; ".join(refusals))
    return _Try(
        recipe=recipe, candidate=candidate, standing=standing, conditions=tuple(conditions)
    )


def _ladder(target: Target, runtime: str, rungs: Sequence[Rung], unusable: str = "") -> Ladder:
    taken = next((rung for rung in rungs if rung.taken), None)
    above = rungs[: rungs.index(taken)] if taken else rungs
    first = f"the first rung whose every node {runtime} executes and that waits for no device"
    reasons = [first if taken else unusable or "no rung can be taken"]
    reasons += [f"not {rung.recipe}: {rung.reason}" for rung in above]
    return Ladder(
        target=target.name,
        backend=target.backend,
        runtime=runtime,
        attention=tuple(
            Choice(
                attention=kind,
                rung=taken.recipe if taken else None,
                form=taken.forms[kind] if taken else None,
                reason="; ".join(reasons),
            )
            for kind in _KINDS
        ),
        rungs=tuple(rungs),
    )
