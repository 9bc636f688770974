"""The numbers of a variant that an objective weighs, and how it weighs them."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from whisperopt.matrix import Objective
from whisperopt.selection import contest
from whisperopt.selection.contest import TOO_CLOSE, Figure

T = TypeVar("T")

_UNKNOWN = Figure(value=math.inf, low=math.inf, high=math.inf)
_BEHIND = {
    "latency": "slower",
    "throughput": "slower with many clips",
    "size": "larger",
    "memory": "more memory",
}


class Merits(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that objectives weigh; None is not known."""

    size_bytes: int
    latency_ms: Figure | None = None
    throughput: Figure | None = None
    """Seconds for a second of audio, with as many clips at once as the session takes."""
    peak_rss_mb: float | None = None
    wer_delta: float | None = None

    def cost(self, objective: Objective) -> Figure:
        """Return what `objective` wants least of; infinite if it is not known."""
        if objective.goal == "latency":
            return self.latency_ms or _UNKNOWN
        if objective.goal == "size":
            return contest.exact(float(self.size_bytes))
        if objective.goal == "memory":
            return contest.exact(self.peak_rss_mb) if self.peak_rss_mb else _UNKNOWN
        return self.throughput or _UNKNOWN


def figure(value: float, interval: tuple[float, float] | None) -> Figure:
    """Return a measured number with its interval; without one there is no doubt to weigh."""
    low, high = interval or (value, value)
    return Figure(value=value, low=low, high=high)


def inverse(value: float, interval: tuple[float, float] | None) -> Figure:
    """Return a rate, of which more is better, as what it costs."""
    low, high = interval or (value, value)
    if not min(low, value, high) > 0:
        return _UNKNOWN
    return Figure(value=1 / value, low=1 / high, high=1 / low)


def by_objective(
    items: Iterable[T], *, merits: Callable[[T], Merits], objective: Objective
) -> list[T]:
    """Order what was measured; what cannot be told apart goes by size."""
    return contest.order(
        items,
        cost=lambda item: merits(item).cost(objective),
        size=lambda item: merits(item).size_bytes,
    )


def outside(merits: Merits, objective: Objective) -> str | None:
    """Return which limit of `objective` is not kept, or not known to be kept."""
    return next(_unkept(merits, objective), None)


def breaks(merits: Merits, objective: Objective) -> str | None:
    """Return which limit of `objective` is known to be broken."""
    found = _unkept(merits, objective, known_only=True)
    return next(found, None)


def _unkept(merits: Merits, objective: Objective, *, known_only: bool = False) -> Iterator[str]:
    known = {
        "wer_delta": merits.wer_delta,
        "latency_ms_p50": merits.latency_ms.value if merits.latency_ms else None,
        "size_bytes": float(merits.size_bytes),
        "peak_rss_mb": merits.peak_rss_mb,
    }
    for name, bound in objective.at_most.items():
        value = known[name]
        if value is None:
            if not known_only:
                yield f"passed, but its {name} is not known, and at most {bound:g} was asked for"
        elif not value <= bound:
            yield f"passed, but its {name} is {value:.4g}, and at most {bound:g} was asked for"


def behind(
    own: Merits,
    best: Merits,
    objective: Objective,
    *,
    rivals: Mapping[str, Merits] | None = None,
) -> str:
    """Say in words by how much a measured variant stands behind the `best` one.

    What is too close to the best to call may still be clearly behind another of its `rivals`.
    """
    cost, least = own.cost(objective), best.cost(objective)
    if not (cost.known and least.known):
        return f"its {objective.goal} is not known"
    if contest.faster(least, cost):
        return f"{_more(cost, least):.0f} % {_BEHIND[objective.goal]}"
    for name, rival in (rivals or {}).items():
        if contest.faster(first := rival.cost(objective), cost):
            return f"{_more(cost, first):.0f} % {_BEHIND[objective.goal]} than {name}"
    more = f"{_more(cost, least):+.0f} %"
    if _close(cost, least):
        return f"too close to call ({more}) and not smaller"
    return f"too noisy to call ({more}, the ranges of the rounds overlap) and not smaller"


def tie(one: Figure, least: Figure) -> str:
    """Say in words why `one` is not known to be more than `least`, to go before its name."""
    return "too close to call with" if _close(one, least) else "too noisy to tell from"


def _more(cost: Figure, least: Figure) -> float:
    return 100 * (cost.value / least.value - 1) if least.value else math.inf


def _close(one: Figure, other: Figure) -> bool:
    least, most = sorted((one.value, other.value))
    return least >= most * (1 - TOO_CLOSE)
