"""Which variant a machine gets: every variant is judged, and every judgement has a reason."""

import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from whisperopt import cache, registry
from whisperopt import host as hosts
from whisperopt.backend import Tier
from whisperopt.errors import NothingFitsError
from whisperopt.host import Gpu, Host, fingerprint
from whisperopt.matrix import LATENCY, Objective
from whisperopt.reasons import Reason, because
from whisperopt.release.catalog import Catalog, EvidenceEntry, Variant
from whisperopt.results import overlay as overlays
from whisperopt.results.variant import Proof, VariantResult, of_catalog
from whisperopt.selection import tuned
from whisperopt.selection.adapters import Placed, adapters, asked_for, placed
from whisperopt.selection.checks import Case
from whisperopt.selection.compare import amount, broken, outside, words
from whisperopt.selection.predict import Prediction, predict
from whisperopt.selection.rank import Ranked, rank

_READY = "probes"
_SHOWN = 4
_HOPELESS = 2
"""Times the best cost: whoever is predicted to take more does not win, for all that is unknown."""
_BY_EVIDENCE = ("here.", "predicted.", "ranking.", "unfit.wrong-files", "unfit.failed")
"""How the codes of reasons begin that follow from what a catalog says of hosts."""
_NOT_ASKED_FOR = {"unfit.other-target", "unfit.other-device"}


class Decision(msgspec.Struct, frozen=True):
    """What becomes of one variant on one host, and why."""

    variant: Variant
    accepted: bool
    why: Reason
    gpu: Gpu | None = None
    """The adapter that its runtime is to be told to take; None: there is nothing to tell."""
    cost: float | None = None
    """What it is predicted to take, of which only the ratio to others of its device counts."""
    own: EvidenceEntry | None = None
    """What this rests on, if it is in an overlay and not in the release."""

    @property
    def told(self) -> Reason:
        """Why, and whether it rests on what is not in the release."""
        if self.own is None:
            return self.why
        return because("here.brought" if self.own.imported else "here.own", why=str(self.why))

    @property
    def reason(self) -> str:
        """Why, in words."""
        return str(self.told)

    @property
    def hint(self) -> str:
        """What the user can do about a rejection; may be empty."""
        return self.why.remedy

    @property
    def installable(self) -> bool:
        """Whether the hardware serves the variant: it only needs its runtime installed (again)."""
        return self.why.code.startswith("installable.")


def choose(
    catalog: Catalog,
    model: str,
    host: Host | None = None,
    target: str | None = None,
    objective: Objective | None = None,
    *,
    device: str | None = None,
    racing: bool = False,
    trusting: bool = False,
) -> tuple[Decision, ...]:
    """Judge every variant of `model` for `host`, best first.

    Without a host it is for this machine, or for the recorded one that is replayed in its place.
    `device` restricts the choice: `cpu`, `gpu`, or an adapter's UUID, LUID or PCI address.
    What this machine's overlay says of these very files counts as if the release said it.
    On a live machine what was tuned on it comes first, and the backend of the best variant is
    probed, until one is ready: what lists itself but does not load must not be chosen over what
    works. Before `racing` all backends are probed, and no earlier tuning counts. `trusting` takes
    it that what was ready before in this very state of the machine still is: whoever opens a
    variant meets what is wrong with it.
    """
    tuning = None if host or racing else tuned.recall(catalog, model, target, device)
    live = host is None and hosts.RECORDED not in os.environ
    machine = host or hosts.detect()
    now = overlays.folded(catalog)
    own = overlays.news(catalog, now)
    while True:
        decisions = resolve(
            *(now, model, machine),
            own=own,
            target=target,
            device=device,
            objective=objective,
            tuning=tuning,
        )
        needed = dict.fromkeys(d.variant.backend for d in decisions if d.accepted)
        wanted = [name for name in needed if name in registry.names()] if live else []
        broken = _not_ready(wanted if racing else wanted[:1], trusting=trusting)
        if not broken:
            return decisions
        machine = msgspec.structs.replace(machine, broken={**machine.broken, **broken})


def resolve(
    catalog: Catalog,
    model: str,
    host: Host,
    *,
    target: str | None = None,
    device: str | None = None,
    objective: Objective | None = None,
    tuning: tuned.Tuned | None = None,
    own: Mapping[tuple[str, str], EvidenceEntry] | None = None,
) -> tuple[Decision, ...]:
    """Judge every variant of `model` for `host`, best first, accepted before rejected.

    1. what `tuning` raced on this very machine first, by `objective` (default: what was tuned for)
    2. the host's best device first
    3. on one device what was measured on this host class, by `objective` (default: the one that
       the release was built with), and what keeps its limits before what does not
    4. then by size if that is the objective, by time as far as that can be predicted, else in the
       order of targets, and within a target that of its ladder
    5. variants that never ran anywhere come last, but for those that lost or failed in the race;
       they keep the order of targets and ladders: speed does not speak for what nobody heard
    6. among the rejected the installable come first

    Of several adapters a variant gets the first that it fits: the faster one where both were
    measured, else the better one as the host has them. `own` evidence, by the digest of a variant
    and the kind of host, was folded into the catalog from an overlay. Raises `BadInputError` for a
    `device` that is not here, and `NothingFitsError` for `gpu` where there is none.
    """
    left = asked_for(host, device)
    entry, aim = catalog.model(model), objective or LATENCY
    variants = sorted(entry.variants, key=lambda v: (v.target_rank, v.ladder_rank, v.name))
    results = [_known(v) for v in sorted(variants, key=lambda v: _device(v, catalog))]
    kinds = {variant.device for variant in variants}
    serving = {kind: adapters(kind, results, host, left, aim) for kind in kinds}
    found: dict[str, Placed] = {}
    for result in results:
        row = serving[result.variant.device]
        found[result.name] = placed(result, host, row, target=target, asked=device)
    refusals = ((fit.case.variant, fit.refusal) for fit in found.values())
    rejected = [Decision(variant, accepted=False, why=why) for variant, why in refusals if why]
    cases = [fit.case for fit in found.values() if fit.refusal is None]
    rejected.sort(key=lambda d: (not d.installable, d.why.code in _NOT_ASKED_FOR))
    first, last = _tuned(cases, tuning, objective)
    moved = {decision.variant.name for decision in (*first, *last)}
    others = [case for case in cases if case.variant.name not in moved]
    accepted = (*first, *_ranked(others, catalog, objective), *last)
    placed_too = [_on_adapter(d, found[d.variant.name]) for d in accepted]
    pairs = zip((*accepted, *rejected), (*placed_too, *rejected), strict=True)
    return tuple(
        msgspec.structs.replace(told, own=_own(bare, found[bare.variant.name].case, own or {}))
        for bare, told in pairs
    )


def _on_adapter(decision: Decision, where: Placed) -> Decision:
    told = where.gpu if where.case.nameable else None
    return msgspec.structs.replace(decision, why=where.named(decision.why), gpu=told)


def _own(
    decision: Decision, case: Case, own: Mapping[tuple[str, str], EvidenceEntry]
) -> EvidenceEntry | None:
    """Return which of the `own` evidence is what a decision rests on, if any is."""
    proof = case.result.decisive(case.host_class)
    if proof is None or not decision.why.code.startswith(_BY_EVIDENCE):
        return None
    return own.get((decision.variant.digest, proof.host_class))


def best(decisions: Sequence[Decision]) -> Variant:
    """Return the variant to use, or raise `NothingFitsError` with the reasons of the others."""
    for decision in decisions:
        if decision.accepted:
            return decision.variant
    if not decisions:
        raise NothingFitsError(because("here.no-variant"))
    if all(decision.why.code == "unfit.other-device" for decision in decisions):
        raise NothingFitsError(because("here.no-variant-on", decisions[0].why.place))
    more = len(decisions) - _SHOWN
    raise NothingFitsError(
        because(
            "here.nothing-fits-of-more" if more > 0 else "here.nothing-fits",
            why="; ".join(f"{d.variant.name}: {d.reason}" for d in decisions[:_SHOWN]),
            more=more,
            hint=next((decision.hint for decision in decisions if decision.hint), ""),
        )
    )


def _not_ready(backends: Iterable[str], *, trusting: bool) -> dict[str, str]:
    """Return what is wrong with those of `backends` that are not ready."""
    notes = {name: cache.key(fingerprint.here(), name) for name in backends}
    known = {name for name, note in notes.items() if cache.recall(_READY, note, bool)}
    asked = [name for name in notes if not (trusting and name in known)]
    broken = {}
    for name, probe in registry.probe_all(asked).items():
        if probe.reason:
            broken[name] = probe.reason
            cache.remove(cache.note(_READY, notes[name]))
        elif name not in known:
            cache.keep(_READY, notes[name], content=True)
    return broken


def contenders(decisions: Iterable[Decision], top: int) -> list[Decision]:
    """Return the first `top` for each device that may be the fastest there, as far as predicted."""
    found: list[Decision] = []
    for decision in (decision for decision in decisions if decision.accepted):
        own = [other for other in found if other.variant.device == decision.variant.device]
        least = min((other.cost for other in own if other.cost), default=math.inf)
        if len(own) < top and (decision.cost or 0) <= least * _HOPELESS:
            found.append(decision)
    return found


def _known(variant: Variant) -> VariantResult:
    """Return what the catalog says of a variant, its tier too where no evidence stands behind it."""
    result = of_catalog(variant)
    recorded = any(proof.tier is Tier.EMULATED for proof in result.proofs)
    if variant.tier not in {Tier.EMULATED, Tier.MEASURED} or recorded:
        return result
    claim = Proof(host_class="", tier=Tier.EMULATED)
    return msgspec.structs.replace(result, proofs=(*result.proofs, claim))


def _tuned(
    cases: Sequence[Case], tuning: tuned.Tuned | None, objective: Objective | None
) -> tuple[list[Decision], list[Decision]]:
    """Return what goes before everything since it was raced here, and what goes behind the rest."""
    if tuning is None:
        return [], []
    results = {case.result.name: case.result for case in cases}
    seats = {case.result.name: case.gpu.lasting if case.gpu else "" for case in cases}
    here = [found for found in tuning.raced if found.adapter in ("", seats.get(found.variant))]
    failed = {name: why for name, why in tuning.refused.items() if name in results}
    raced = [result for name, result in results.items() if name not in failed]
    date = tuning.started.date().isoformat()
    first: list[Decision] = []
    last: list[Decision] = []
    for entry in tuned.rank_raced(here, raced, objective or tuning.objective):
        row = first if entry.within else last
        row.append(_accepted(entry, because("tuned.since", str(entry.reason), date=date)))
    for name, text in failed.items():
        why = because("tuned.failed", text, date=date)
        last.append(Decision(results[name].variant, accepted=True, why=why))
    return first, last


def _ranked(
    cases: Sequence[Case], catalog: Catalog, objective: Objective | None
) -> list[Decision]:
    """Rank what passed all checks, device by device; it comes in the order of the ladders.

    Where targets of a device differ in their objective, that of the first counts between them.
    """
    classes = {case.variant.name: case.host_class for case in cases}

    def group(case: Case) -> tuple[bool, tuple[int, str], int, bool]:
        structural = case.tier is Tier.STRUCTURAL
        unmeasured = not case.standing.measured
        return structural, _device(case.variant, catalog), case.place, unmeasured

    def limit(result: VariantResult, standing: Proof) -> Reason | None:
        """What was not measured here may keep the limits of times."""
        unkept = outside if standing.measured else broken
        return unkept(standing.scores, objective or result.variant.objective)

    within: list[Decision] = []
    failing: list[Decision] = []
    beyond: list[Decision] = []
    structural: list[Decision] = []
    for (unproven, *_, unmeasured), found in itertools.groupby(
        sorted(cases, key=group), key=group
    ):
        results = [case.result for case in found]
        wish = objective or results[0].variant.objective
        predicted = predict(results, classes, wish) if unmeasured and not unproven else {}
        ranked = rank(results, wish, lambda v: classes[v.name], limit=limit, predicted=predicted)
        kept = [entry for entry in ranked if entry.within]
        if unproven:
            why = because("here.structural")
            structural += [_accepted(entry, why) for entry in ranked]
        else:
            for place, entry in enumerate(kept):
                said = predicted.get(entry.name)
                why = _why(entry, kept[place:], wish, said)
                fails = said is not None and said.cost == math.inf
                decision = _accepted(entry, why, said.cost if said else None)
                (failing if fails else within).append(decision)
            beyond += [_accepted(entry, entry.reason) for entry in ranked if not entry.within]
    return [*within, *failing, *beyond, *structural]


def _device(variant: Variant, catalog: Catalog) -> tuple[int, str]:
    """Return what orders variants by their device."""
    order = catalog.device_order
    known = variant.device in order
    return order.index(variant.device) if known else len(order), variant.device


def _accepted(entry: Ranked, why: Reason, cost: float | None = None) -> Decision:
    return Decision(entry.result.variant, accepted=True, why=why, cost=cost)


def _why(
    entry: Ranked, rest: Sequence[Ranked], objective: Objective, predicted: Prediction | None
) -> Reason:
    """Say what was measured, and against what of the `rest` it stands first on size alone."""
    if predicted:
        return predicted.why
    if not entry.standing.measured:
        elsewhere = entry.result.variant.tier == Tier.MEASURED
        code = "here.elsewhere" if elsewhere else "here.emulated"
        return because(code if objective.needs_times else f"{code}-by-size")
    numbers = _number(entry, LATENCY)
    if objective.goal != "latency":
        numbers += f", {_number(entry, objective)}"
    closest = min(rest, key=lambda other: other.scores.cost(objective).value)
    cost, least = entry.scores.cost(objective), closest.scores.cost(objective)
    if least.value >= cost.value:
        return because("here.measured", numbers=numbers)
    return because("here.smaller-close", numbers=numbers, least=_number(closest, objective))


def _number(entry: Ranked, objective: Objective) -> str:
    cost = entry.scores.cost(objective)
    if objective.goal == "latency" and not math.isfinite(cost.value):
        return "passed, but was not timed"
    return amount(cost, objective) + words(objective)["of"]
