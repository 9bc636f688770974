"""Picks variants for one host: every variant is judged, and every judgement has a reason."""

import itertools
from collections.abc import Iterable, Sequence

import msgspec

from whisperopt.backend import Tier
from whisperopt.errors import NothingFitsError
from whisperopt.host import Host
from whisperopt.matrix import Objective
from whisperopt.release.catalog import Catalog, Variant
from whisperopt.selection.checks import Case, Refusal, first_refusal
from whisperopt.selection.merits import breaks, by_objective, outside, tie

_SHOWN = 4


class Decision(msgspec.Struct, frozen=True):
    """What becomes of one variant on one host, and why."""

    variant: Variant
    accepted: bool
    reason: str
    hint: str = ""
    """What the user can do about a rejection; may be empty."""
    installable: bool = False
    """The hardware serves the variant: all it takes is to install its runtime (again)."""


def resolve(
    catalog: Catalog,
    model: str,
    host: Host,
    *,
    target: str | None = None,
    objective: Objective | None = None,
) -> tuple[Decision, ...]:
    """Judge every variant of `model` for `host`, best first, accepted before rejected.

    1. the host's best device first
    2. on one device what was measured on this host class, by `objective` (default: the one that
       the release was built with), and what keeps its limits before what does not
    3. then the order of targets, and within a target the order of its ladder, or the size if that
       is the objective
    4. variants that never ran anywhere come last; among the rejected the installable come first
    """
    places = {device: place for place, device in enumerate(catalog.device_order)}
    variants = sorted(
        catalog.model(model).variants,
        key=lambda v: (
            places.get(v.device, len(places)),
            v.device,
            v.target_rank,
            v.ladder_rank,
            v.name,
        ),
    )
    fitting: list[Case] = []
    rejected: list[Decision] = []
    for variant in variants:
        case = Case(variant, host, target, objective or variant.objective)
        if refusal := first_refusal(case):
            rejected.append(_rejected(variant, refusal))
        else:
            fitting.append(case)
    rejected.sort(key=lambda d: (not d.installable, target not in {None, d.variant.target}))
    return (*_ranked(fitting), *rejected)


def best(decisions: Sequence[Decision]) -> Variant:
    """Return the variant to use, or raise `NothingFitsError` with the reasons of the others."""
    if any(decision.accepted for decision in decisions):
        return next(decision.variant for decision in decisions if decision.accepted)
    if not decisions:
        raise NothingFitsError("The release has no variant of this model")
    reasons = "; ".join(f"{d.variant.name}: {d.reason}" for d in decisions[:_SHOWN])
    more = f"; and {len(decisions) - _SHOWN} more" if len(decisions) > _SHOWN else ""
    hint = next((decision.hint for decision in decisions if decision.hint), "")
    raise NothingFitsError(f"Nothing in the release fits this host: {reasons}{more}", hint)


def _ranked(fitting: Iterable[Case]) -> list[Decision]:
    """Order what passed all checks; it comes sorted by device, target and ladder."""
    cases = list(fitting)
    proven = [case for case in cases if case.tier is not Tier.STRUCTURAL]
    decisions: list[Decision] = []
    beyond: list[Decision] = []
    for _, group in itertools.groupby(proven, key=lambda case: case.variant.device):
        on_device = list(group)
        measured = [case for case in on_device if case.measured]
        decisions += _measured([case for case in measured if not _beyond(case)])
        unmeasured = _by_size_if_asked([case for case in on_device if not case.measured])
        decisions += [_unmeasured(case) for case in unmeasured if not _beyond(case)]
        beyond += [_outside(case) for case in (*measured, *unmeasured) if _beyond(case)]
    left = _by_size_if_asked([case for case in cases if case.tier is Tier.STRUCTURAL])
    unproven = [case.variant for case in sorted(left, key=lambda case: bool(_beyond(case)))]
    reason = "only structurally proven: comes after everything that ran"
    structural = [Decision(variant, accepted=True, reason=reason) for variant in unproven]
    return [*decisions, *beyond, *structural]


def _measured(cases: Sequence[Case]) -> list[Decision]:
    """Order by the objective: that of the first target, where targets of a device differ."""
    if not cases:
        return []
    objective = cases[0].objective
    order = by_objective(cases, merits=lambda case: case.merits, objective=objective)
    return [
        Decision(case.variant, accepted=True, reason=_why(case, order[place:], objective))
        for place, case in enumerate(order)
    ]


def _by_size_if_asked(cases: list[Case]) -> list[Case]:
    """Order by size where that is the objective: it is known of everything."""
    if cases and not cases[0].objective.needs_times:
        return sorted(cases, key=lambda case: case.variant.size)
    return cases


def _why(case: Case, rest: Sequence[Case], objective: Objective) -> str:
    """Say what was measured, and against what of the `rest` it stands first on size alone."""
    said = f"measured here: {_milliseconds(case.latency_ms)}"
    if objective.goal != "latency":
        said += f", {_aim(case, objective)}"
    cost = case.merits.cost(objective)
    closest = min(rest, key=lambda other: other.merits.cost(objective).value)
    least = closest.merits.cost(objective)
    if least.value < cost.value:
        said += f", {tie(cost, least)} {_aim(closest, objective)}, and smaller"
    return said


def _aim(case: Case, objective: Objective) -> str:
    value = case.merits.cost(objective).value
    match objective.goal:
        case "latency":
            return _milliseconds(value)
        case "throughput":
            return f"{1 / value:.1f} times real time with many clips"
        case "size":
            return f"{value / 1e6:.1f} MB"
        case "memory":
            return f"{value:.0f} MiB of memory"


def _milliseconds(latency: float) -> str:
    if latency == float("inf"):
        return "passed, but was not timed"
    return f"{latency:.{0 if latency >= 10 else 2}f} ms median"


def _beyond(case: Case) -> str | None:
    """Return which limit is not kept; what was not measured here may keep those of times."""
    return (outside if case.measured else breaks)(case.merits, case.objective)


def _outside(case: Case) -> Decision:
    return Decision(case.variant, accepted=True, reason=_beyond(case) or "")


def _unmeasured(case: Case) -> Decision:
    elsewhere = case.variant.tier == Tier.MEASURED
    proof = "measured on other hosts, not here" if elsewhere else "emulated, not measured here"
    order = "the order of targets and recipes" if case.objective.needs_times else "its size"
    reason = f"{proof}: stands by {order}"
    return Decision(case.variant, accepted=True, reason=reason)


def _rejected(variant: Variant, refusal: Refusal) -> Decision:
    return Decision(
        variant,
        accepted=False,
        reason=refusal.reason,
        hint=refusal.hint,
        installable=refusal.installable,
    )
