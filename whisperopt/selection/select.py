"""Ranks the variants of one target: a pure function that says why each stands where it stands."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from whisperopt.backend import Tier
from whisperopt.matrix import LATENCY, Objective
from whisperopt.selection.merits import Merits, behind, by_objective, figure, inverse, outside, tie
from whisperopt.selection.pareto import front

if TYPE_CHECKING:
    from whisperopt.evaluate.metrics import Metrics

_FASTEST = {
    "latency": "fastest measured",
    "throughput": "most audio a second",
    "size": "smallest",
    "memory": "least memory",
}


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One variant as the catalog knows it."""

    name: str
    target: str
    ladder_rank: int
    selectable_from: Tier
    caution: str = ""
    size_bytes: int = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the evidence says of one variant, on one kind of host."""

    tier: Tier | None
    """None: not even structurally accepted."""
    failure: str = ""
    """Every reason against it; empty if it passed."""
    metrics: "Metrics | None" = None


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's fate."""

    name: str
    accepted: bool
    """Whether it passed every proof that it needs."""
    selected: bool = False
    pareto: bool = False
    """Whether no accepted one is both faster and more accurate."""
    reason: str


def select(
    catalog: Sequence[Candidate],
    evidence: Mapping[str, Standing],
    objective: Objective = LATENCY,
) -> tuple[Ranked, ...]:
    """Rank one target's variants, best first, the selected one on top if there is one.

    What keeps the objective's limits goes before what does not, and only that is selected.
    Measured goes before emulated before structural. Among measured the objective decides, and
    where it is too close to call the smaller size; among unmeasured the size if that is the
    objective, else the ladder's order.
    """
    merits = {c.name: merits_of(c, evidence[c.name]) for c in catalog}
    tiers = {c.name: evidence[c.name].tier for c in catalog}
    accepted = [c for c in catalog if refusal(c, evidence[c.name]) is None]
    within = [c for c in accepted if outside(merits[c.name], objective) is None]
    order = _order(within, tiers, merits, objective)
    beyond = sorted((c for c in accepted if c not in within), key=lambda c: c.ladder_rank)
    best = front({c.name: (_latency(merits[c.name]), merits[c.name].wer_delta) for c in accepted})
    ranked = [
        Ranked(
            name=c.name,
            accepted=True,
            selected=place == 0,
            pareto=c.name in best,
            reason=_reason(c, order, tiers, merits, objective),
        )
        for place, c in enumerate(order)
    ]
    ranked += [
        Ranked(
            name=c.name,
            accepted=True,
            pareto=c.name in best,
            reason=outside(merits[c.name], objective) or "",
        )
        for c in beyond
    ]
    refused = [
        Ranked(name=c.name, accepted=False, reason=reason)
        for c in sorted(catalog, key=lambda c: (c.ladder_rank, c.name))
        if (reason := refusal(c, evidence[c.name]))
    ]
    return (*ranked, *refused)


def merits_of(candidate: Candidate, standing: Standing) -> Merits:
    """Take a variant's numbers from its samples: only a device itself tells times and memory."""
    metrics, size = standing.metrics, candidate.size_bytes
    if metrics is None:
        return Merits(size_bytes=size)
    if standing.tier is not Tier.MEASURED:
        return Merits(size_bytes=size, wer_delta=metrics.wer_delta)
    return Merits(
        size_bytes=size,
        latency_ms=figure(metrics.latency_ms_p50, metrics.latency_ms_interval),
        throughput=inverse(metrics.throughput or metrics.rtfx, metrics.throughput_interval),
        peak_rss_mb=metrics.peak_rss_mb,
        wer_delta=metrics.wer_delta,
    )


def refusal(candidate: Candidate, standing: Standing) -> str | None:
    """Return why `candidate` cannot be selected, or None."""
    if standing.failure or standing.tier is None:
        return standing.failure or "was not proven"
    if _waits(candidate, standing):
        return f"{standing.tier}, selectable once {candidate.selectable_from}: {candidate.caution}"
    return None


def held(candidate: Candidate, standing: Standing) -> bool:
    """Say whether a variant passed everything but waits for proof on a device."""
    return not standing.failure and standing.tier is not None and _waits(candidate, standing)


def _waits(candidate: Candidate, standing: Standing) -> bool:
    """A build without proof selects on structure alone; a caution always asks for more."""
    tier = standing.tier
    if tier is None or tier.rank >= candidate.selectable_from.rank:
        return False
    return bool(candidate.caution) or tier is not Tier.STRUCTURAL


def _latency(merits: Merits) -> float | None:
    return merits.latency_ms.value if merits.latency_ms else None


def _order(
    accepted: Sequence[Candidate],
    tiers: Mapping[str, Tier | None],
    merits: Mapping[str, Merits],
    objective: Objective,
) -> list[Candidate]:
    measured = [c for c in accepted if tiers[c.name] is Tier.MEASURED]
    measured.sort(key=lambda c: (c.ladder_rank, c.name))
    others = [c for c in accepted if c not in measured]
    others.sort(
        key=lambda c: (
            -(tier.rank if (tier := tiers[c.name]) else -1),
            0 if objective.needs_times else c.size_bytes,
            c.ladder_rank,
            c.name,
        )
    )
    ranked = by_objective(measured, merits=lambda c: merits[c.name], objective=objective)
    return [*ranked, *others]


def _reason(
    candidate: Candidate,
    order: Sequence[Candidate],
    tiers: Mapping[str, Tier | None],
    merits: Mapping[str, Merits],
    objective: Objective,
) -> str:
    best = order[0]
    own, first = merits[candidate.name], merits[best.name]
    tier = tiers[candidate.name]
    if candidate is best:
        return _why_best(best, order, tiers, merits, objective)
    if tier is not tiers[best.name]:
        return f"only {tier}"
    if tier is not Tier.MEASURED:
        if not objective.needs_times:
            return "not smaller"
        return "further down the ladder; neither is measured"
    rivals = {c.name: merits[c.name] for c in order if tiers[c.name] is tier}
    return behind(own, first, objective, rivals=rivals)


def _why_best(
    best: Candidate,
    order: Sequence[Candidate],
    tiers: Mapping[str, Tier | None],
    merits: Mapping[str, Merits],
    objective: Objective,
) -> str:
    if len(order) == 1:
        return "the only one that passed"
    tier = tiers[best.name]
    if tier is not Tier.MEASURED:
        if not objective.needs_times:
            return f"smallest of those that are {tier}"
        return f"first on the ladder of those that are {tier}"
    costs = [merits[c.name].cost(objective) for c in order if tiers[c.name] is tier]
    if len(costs) == 1:
        return "the only one that was measured"
    own, least = merits[best.name].cost(objective), min(costs, key=lambda cost: cost.value)
    if own.value > least.value:
        return f"{tie(own, least)} the {_FASTEST[objective.goal]}, and smaller"
    return _FASTEST[objective.goal]
