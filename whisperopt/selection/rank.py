"""Ranks variants by an objective: a pure function that says why each stands where it stands."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from whisperopt.backend import Tier
from whisperopt.matrix import Objective
from whisperopt.reasons import Reason, because
from whisperopt.release.catalog import Variant
from whisperopt.results.scores import Scores
from whisperopt.results.variant import Proof, VariantResult
from whisperopt.selection.compare import by_objective, close, faster, front, more, outside, words
from whisperopt.selection.predict import Prediction, by_prediction

HostClass = Callable[[Variant], str | None] | str | None
Limit = Callable[[VariantResult, Proof], Reason | None]


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """Where one variant stands among others on one kind of host, and why."""

    result: VariantResult
    standing: Proof
    accepted: bool
    """Whether it passed every proof that it needs."""
    within: bool = False
    """Whether it is accepted and keeps the limits of the objective."""
    selected: bool = False
    pareto: bool = False
    """Whether no accepted one is both faster and more accurate."""
    reason: Reason

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.result.name

    @property
    def waits(self) -> bool:
        """Whether it passed everything but must be proven on a device before it is selectable."""
        return self.reason.code == "ranking.waits"

    @property
    def scores(self) -> Scores:
        """What is known of it on that kind of host."""
        return self.standing.scores


def rank(
    results: Sequence[VariantResult],
    objective: Objective,
    host_class: HostClass,
    *,
    limit: Limit | None = None,
    predicted: Mapping[str, Prediction] | None = None,
) -> tuple[Ranked, ...]:
    """Rank variants for one kind of host, best first; the selected one on top if there is one.

    What keeps the objective's limits goes before what does not, and only that is selected.
    Measured goes before emulated before structural, and what heard all clips before what heard
    some. Among measured the objective decides, and where it is too close to call the smaller size;
    among unmeasured the size if that is the objective, else what is `predicted` of each, by name,
    and without that the order of targets and ladders. What is refused comes last. `limit` says
    which limit a variant does not keep: by default any that it is not known to keep.
    """
    judged = [_judged(result, objective, host_class, limit) for result in results]
    judged.sort(key=lambda e: (e.result.variant.target_rank, e.result.variant.ladder_rank, e.name))
    accepted = [entry for entry in judged if entry.accepted]
    measured = [entry for entry in accepted if entry.within and entry.standing.measured]
    fully, partly = (
        [entry for entry in measured if entry.standing.partly is some] for some in (False, True)
    )
    others = [entry for entry in accepted if entry.within and not entry.standing.measured]
    beyond = [entry for entry in accepted if not entry.within]
    others = by_prediction(others, lambda entry: (predicted or {}).get(entry.name))
    for unordered in (others, beyond):
        unordered.sort(key=lambda entry: _unproven(entry, objective))
    order = [
        entry
        for group in (fully, partly)
        for entry in by_objective(group, scores=lambda e: e.scores, objective=objective)
    ]
    order += others
    points = {
        e.name: (latency.value if (latency := e.scores.latency_ms) else None, e.scores.wer_delta)
        for e in accepted
    }
    pareto = front(points)
    placed = (
        msgspec.structs.replace(
            entry, selected=place == 0, reason=_reason(entry, order, objective)
        )
        for place, entry in enumerate(order)
    )
    found = (*placed, *beyond, *(entry for entry in judged if not entry.accepted))
    return tuple(msgspec.structs.replace(e, pareto=e.name in pareto) for e in found)


def behind(
    own: Scores, best: Scores, objective: Objective, rivals: Mapping[str, Scores] | None = None
) -> Reason:
    """Say by how much a measured variant stands behind the `best` one.

    What is too close to the best to call may still be clearly behind another of its `rivals`.
    """
    cost, least = own.cost(objective), best.cost(objective)
    if not (cost.known and least.known):
        return because("ranking.unknown", objective.goal)
    worse = words(objective)["behind"]
    if faster(least, cost):
        return because("ranking.behind", percent=more(cost, least), words=worse)
    for name, rival in (rivals or {}).items():
        if faster(other := rival.cost(objective), cost):
            return because("ranking.behind-other", name, percent=more(cost, other), words=worse)
    if not close(cost, least):
        return because("ranking.undecided", percent=more(cost, least))
    smaller = own.size_bytes < best.size_bytes
    return because(
        "ranking.close-smaller" if smaller else "ranking.too-close", percent=more(cost, least)
    )


def _judged(
    result: VariantResult, objective: Objective, host_class: HostClass, limit: Limit | None
) -> Ranked:
    variant = result.variant
    standing = result.standing(host_class(variant) if callable(host_class) else host_class)
    refused = _refusal(variant, standing)
    unkept = limit(result, standing) if limit else outside(standing.scores, objective)
    return Ranked(
        result=result,
        standing=standing,
        accepted=refused is None,
        within=refused is None and unkept is None,
        reason=refused or unkept or because("ranking.alone"),
    )


def _refusal(variant: Variant, standing: Proof) -> Reason | None:
    """A build without proof selects on structure alone; a caution always asks for more."""
    if standing.reasons:
        first, *others = standing.reasons
        return because("recorded.text", standing.reason) if others else first
    tier, needed, caution = standing.worth, Tier(variant.selectable_from), variant.caution
    if tier.rank >= needed.rank or (tier is Tier.STRUCTURAL and not caution):
        return None
    return because("ranking.waits", tier=tier, needed=needed, caution=caution)


def _unproven(entry: Ranked, objective: Objective) -> tuple[int, int]:
    """Return what orders variants without a measurement, before their order on the ladder."""
    tier = entry.standing.tier
    by_size = not (objective.needs_times or entry.standing.measured)
    return -tier.rank, entry.scores.size_bytes if by_size else 0


def _reason(entry: Ranked, order: Sequence[Ranked], objective: Objective) -> Reason:
    best, tier = order[0], entry.standing.tier
    if entry is best:
        return _why_best(best, order, objective)
    if tier is not best.standing.tier:
        return because("ranking.only-tier", str(tier))
    if tier is not Tier.MEASURED:
        return because("ranking.later" if objective.needs_times else "ranking.not-smaller")
    if entry.standing.partly and not best.standing.partly:
        first, _ = by_objective([best, entry], scores=lambda e: e.scores, objective=objective)
        if first is entry:
            return because("ranking.heard-less", objective.goal, stride=entry.standing.stride or 1)
    rivals = {rival.name: rival.scores for rival in order if rival.standing.measured}
    return behind(entry.scores, best.scores, objective, rivals)


def _why_best(best: Ranked, order: Sequence[Ranked], objective: Objective) -> Reason:
    if len(order) == 1:
        return because("ranking.alone")
    tier, praise = best.standing.tier, words(objective)["best"]
    if tier is not Tier.MEASURED:
        code = "ranking.first-of-tier" if objective.needs_times else "ranking.smallest-of-tier"
        return because(code, str(tier))
    if stride := best.standing.stride:
        return because("ranking.best-partly", words=praise, stride=stride)
    whole = [e for e in order if e.standing.measured and not e.standing.partly]
    costs = [entry.scores.cost(objective) for entry in whole]
    if len(costs) == 1:
        return because("ranking.alone-measured")
    own = best.scores.cost(objective)
    if own.value > min(cost.value for cost in costs):
        return because("ranking.smaller-close", words=praise)
    unsure = any(not (close(own, cost) or faster(own, cost)) for cost in costs)
    return because("ranking.best-undecided" if unsure else "ranking.best", words=praise)
