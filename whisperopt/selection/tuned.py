"""What a race on this machine said about a release: remembered, and put before every other order."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from whisperopt import cache
from whisperopt.errors import BadInputError
from whisperopt.evaluate.evidence import Race
from whisperopt.evaluate.times import times
from whisperopt.host import RECORDED, fingerprint
from whisperopt.matrix import Objective
from whisperopt.reasons import places_of_control
from whisperopt.release import store
from whisperopt.release.catalog import Catalog, Variant
from whisperopt.selection.decisions import Decision
from whisperopt.selection.merits import Merits, behind, by_objective, figure, inverse, outside

_KIND = "tuned"
_MAX_BYTES = 4_000_000
_BEST = {
    "latency": "fastest here",
    "throughput": "most audio a second here",
    "size": "smallest",
    "memory": "least memory here",
}

Name = Annotated[str, msgspec.Meta(max_length=80)]
Reason = Annotated[str, msgspec.Meta(max_length=1000)]


class Raced(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One variant and the raw samples of its race."""

    variant: Name
    digest: Name
    race: Race


class Tuned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tuning of one model of a release."""

    schema: Literal["1.0"] = "1.0"
    model: str
    started: str
    """ISO 8601, UTC."""
    objective: Objective
    raced: tuple[Raced, ...]
    refused: dict[Name, Reason] = {}
    """Variants that failed here, and why: they come last."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a raced variant stands, and why."""

    variant: Variant
    race: Race
    merits: Merits
    within: bool = True
    """Whether it keeps the limits that the objective sets."""
    why: str = ""


def places(
    raced: Sequence[Raced], variants: Sequence[Variant], objective: Objective
) -> list[Place]:
    """Order those of `variants` that were raced, best first; what breaks a limit goes last.

    Variants with other files than those that were raced, or without a number for `objective`, are
    left out.
    """
    found = {variant.name: variant for variant in variants}
    known = [
        Place(variant=variant, race=one.race, merits=own)
        for one in {one.variant: one for one in raced}.values()
        if (variant := found.get(one.variant)) and variant.digest == one.digest
        if (own := merits(variant, one.race)).cost(objective).known
    ]
    within = [one for one in known if outside(one.merits, objective) is None]
    order = by_objective(within, merits=lambda one: one.merits, objective=objective)
    return [
        *(msgspec.structs.replace(one, why=_why(one, order, objective)) for one in order),
        *(
            msgspec.structs.replace(one, within=False, why=outside(one.merits, objective) or "")
            for one in known
            if one not in within
        ),
    ]


def merits(variant: Variant, race: Race | None = None) -> Merits:
    """Return what the catalog says of the size and the errors of `variant`, and `race` of the rest.

    Of several increases of the errors the largest counts.
    """
    errors = [e.wer_delta for e in variant.evidence if e.accepted and e.wer_delta is not None]
    known = Merits(size_bytes=variant.size, wer_delta=max(errors, default=None))
    if race is None:
        return known
    found = times(race)
    rate, interval = found.throughput, found.throughput_interval
    return msgspec.structs.replace(
        known,
        latency_ms=figure(found.latency_ms, found.latency_interval),
        throughput=inverse(rate, interval) if interval[0] else None,
        peak_rss_mb=race.peak_rss_bytes / 2**20,
    )


def reorder(
    decisions: Sequence[Decision], tuned: Tuned | None, objective: Objective | None = None
) -> tuple[Decision, ...]:
    """Put what was raced first, in the order of the race, and what failed in it behind the rest.

    Only variants that are accepted anyway are moved. `objective` is by default what was tuned for;
    the raw samples know the order for any.
    """
    if tuned is None:
        return tuple(decisions)
    accepted = {d.variant.name: d for d in decisions if d.accepted}
    variants = [d.variant for name, d in accepted.items() if name not in tuned.refused]
    order = places(tuned.raced, variants, objective or tuned.objective)
    since = f"tuned on {tuned.started[:10]}"
    first = [_because(one.variant, f"{one.why}, {since}") for one in order if one.within]
    last = [_because(one.variant, f"{one.why}, {since}") for one in order if not one.within]
    last += [
        _because(accepted[name].variant, f"{since}: {why}")
        for name, why in tuned.refused.items()
        if name in accepted
    ]
    moved = {decision.variant.name for decision in (*first, *last)}
    return (
        *first,
        *(decision for name, decision in accepted.items() if name not in moved),
        *last,
        *(decision for decision in decisions if not decision.accepted),
    )


def remember(catalog: Catalog, target: str | None, tuned: Tuned) -> Path:
    """Keep `tuned` for this machine as it is now; return the file. What was there is replaced."""
    name = _name(catalog, tuned.model, target)
    try:
        return cache.write(_KIND, name, tuned)
    except OSError as error:
        known = store.disk_error(error, cache.note(_KIND, name))
        if isinstance(known, BadInputError):
            raise BadInputError(known.problem, "Set WHISPEROPT_CACHE to another folder") from None
        raise known from error


def recall(catalog: Catalog, model: str, target: str | None = None) -> Tuned | None:
    """Return what was remembered on this machine, as it is now, of these very variants.

    A tuning of the one `target` counts if it is newer than one of all. A file that cannot be used,
    whoever wrote it, is as good as none.
    """
    if RECORDED in os.environ or not cache.folder(_KIND).is_dir() or model not in catalog.models:
        return None
    names = [_name(catalog, model, served) for served in dict.fromkeys((None, target))]
    found = [tuned for name in names if (tuned := _read(name, model))]
    return max(found, key=lambda tuned: datetime.fromisoformat(tuned.started), default=None)


def _name(catalog: Catalog, model: str, target: str | None) -> str:
    variants = sorted((variant.name, variant.digest) for variant in catalog.model(model).variants)
    return cache.key(fingerprint.here(), model, variants, target)


def _read(name: str, model: str) -> Tuned | None:
    tuned = cache.recall(_KIND, name, Tuned, most=_MAX_BYTES)
    if tuned is None or tuned.model != model:
        return None
    try:
        aware = datetime.fromisoformat(tuned.started).tzinfo is not None
    except ValueError:
        return None
    strange = next(places_of_control(msgspec.json.decode(msgspec.json.encode(tuned))), None)
    return tuned if aware and strange is None else None


def _because(variant: Variant, why: str) -> Decision:
    return Decision(variant, accepted=True, reason=why)


def _why(one: Place, order: Sequence[Place], objective: Objective) -> str:
    best = order[0]
    number = _number(one.merits, objective)
    if one is not best:
        return f"{behind(one.merits, best.merits, objective)}: {number} here"
    if len(order) == 1:
        return f"the only one that was raced here: {number}"
    rival = min(order[1:], key=lambda other: other.merits.cost(objective).value)
    against = f"{_number(rival.merits, objective)} of {rival.variant.name}"
    if rival.merits.cost(objective).value < one.merits.cost(objective).value:
        return f"{number} here, too close to call with {against}, and not larger"
    return f"{_BEST[objective.goal]}: {number} against {against}"


def _number(merits: Merits, objective: Objective) -> str:
    value = merits.cost(objective).value
    match objective.goal:
        case "latency":
            return f"{value:.{0 if value >= 10 else 2}f} ms"
        case "throughput":
            return f"{1 / value:.1f} times real time"
        case "size":
            return f"{value / 1e6:.1f} MB"
        case "memory":
            return f"{value:.0f} MiB"
