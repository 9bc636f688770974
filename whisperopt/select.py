"""Ranks the variants of one target: a pure function that says why each stands where it stands."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from whisperopt.backend import Tier

if TYPE_CHECKING:
    from whisperopt.proof.gates import Metrics

T = TypeVar("T")

TOO_CLOSE = 0.05
"""Medians that differ by less than this share are too close to call on a machine with noise."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One variant as the build saw it."""

    name: str
    target: str
    ladder_rank: int
    tier: Tier | None
    """None: not even structurally accepted."""
    selectable_from: Tier
    caution: str = ""
    failure: str = ""
    """Every reason against it; empty if it passed."""
    size_bytes: int = 0
    metrics: "Metrics | None" = None


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's fate."""

    name: str
    accepted: bool
    selected: bool = False
    reason: str


def select(candidates: Sequence[Candidate]) -> tuple[Ranked, ...]:
    """Rank one target's `candidates`, best first, the selected one on top if there is one.

    Measured before emulated before structural; among measured the lowest median latency, and of
    those too close to call the smallest; among unmeasured the ladder's order.
    """
    accepted = [c for c in candidates if refusal(c) is None]
    order = _order(accepted)
    ranked = [
        Ranked(name=c.name, accepted=True, selected=position == 0, reason=_reason(c, order))
        for position, c in enumerate(order)
    ]
    refused = [
        Ranked(name=candidate.name, accepted=False, reason=reason)
        for candidate in sorted(candidates, key=lambda c: (c.ladder_rank, c.name))
        if (reason := refusal(candidate))
    ]
    return (*ranked, *refused)


def by_latency(
    items: Iterable[T], *, latency: Callable[[T], float], size: Callable[[T], int]
) -> list[T]:
    """Order by median latency; of those too close to call the smallest goes first.

    Where the sizes are equal too the faster goes first, and of twins the one that came first.
    """
    left = sorted(items, key=latency)
    order = []
    while left:
        close = [item for item in left if latency(item) <= latency(left[0]) * (1 + TOO_CLOSE)]
        best = min(range(len(close)), key=lambda place: size(close[place]))
        order.append(left.pop(best))  # the close ones lead
    return order


def refusal(candidate: Candidate) -> str | None:
    """Return why `candidate` cannot be selected, or None."""
    if candidate.failure or candidate.tier is None:
        return candidate.failure or "was not proven"
    if _waits(candidate):
        return (
            f"{candidate.tier}, selectable once {candidate.selectable_from}: {candidate.caution}"
        )
    return None


def held(candidate: Candidate) -> bool:
    """Say whether a variant passed everything but waits for proof on a device."""
    return not candidate.failure and candidate.tier is not None and _waits(candidate)


def _waits(candidate: Candidate) -> bool:
    """A build without proof selects on structure alone; a caution always asks for more."""
    tier = candidate.tier
    if tier is None or tier.rank >= candidate.selectable_from.rank:
        return False
    return bool(candidate.caution) or tier is not Tier.STRUCTURAL


def _order(accepted: Sequence[Candidate]) -> list[Candidate]:
    measured = [c for c in accepted if c.tier is Tier.MEASURED and c.metrics is not None]
    others = [c for c in accepted if c not in measured]
    others.sort(key=lambda c: (-(c.tier.rank if c.tier else -1), c.ladder_rank, c.name))
    measured.sort(key=lambda c: c.name)
    return [*by_latency(measured, latency=_latency, size=lambda c: c.size_bytes), *others]


def _latency(candidate: Candidate) -> float:
    return candidate.metrics.latency_ms_p50 if candidate.metrics else float("inf")


def _reason(candidate: Candidate, order: Sequence[Candidate]) -> str:
    best = order[0]
    if candidate is best:
        return _why_best(candidate, order)
    if candidate.tier is Tier.MEASURED and best.tier is Tier.MEASURED:
        slower = 100 * (_latency(candidate) / _latency(best) - 1)
        if slower <= 100 * TOO_CLOSE:
            return f"too close to call ({slower:+.0f} %) and larger"
        return f"{slower:.0f} % slower"
    if candidate.tier is best.tier:
        return "further down the ladder; neither is measured"
    return f"only {candidate.tier}"


def _why_best(best: Candidate, order: Sequence[Candidate]) -> str:
    if len(order) == 1:
        return "the only one that passed"
    if best.tier is not Tier.MEASURED:
        return f"first on the ladder of those that are {best.tier}"
    if _latency(best) > min(_latency(c) for c in order if c.tier is Tier.MEASURED):
        return "too close to call with the fastest, and smaller"
    return "fastest measured"
