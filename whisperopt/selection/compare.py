"""Which of several measurements is better, on machines that never measure the same thing twice."""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

from whisperopt.evaluate.times import SAME
from whisperopt.matrix import Objective
from whisperopt.reasons import Reason, because, sentences
from whisperopt.results.scores import Estimate, Scores

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

TOO_CLOSE = 0.05
"""Values that differ by less than this share are too close to call on a machine with noise."""
_SMALLER = 0.05
"""The share by which something must be smaller before anybody notices."""


def words(objective: Objective) -> Mapping[str, str]:
    """Return how people speak of a goal.

    That is its `aim`, what is `best`, or `best-here`, or `behind` by it, and what its number is `of`.
    """
    return sentences()[f"goal.{objective.goal}"]


def faster(own: Estimate, other: Estimate) -> bool:
    """Say whether `own` beats `other` beyond the noise.

    Its interval must lie wholly below the other's, and its value be lower by more than
    `TOO_CLOSE`. Any known estimate beats one that is no number; that one beats none.
    """
    if not (own.known and other.known):
        return own.known
    return own.high < other.low and own.value < other.value * (1 - TOO_CLOSE)


def close(own: Estimate, other: Estimate) -> bool:
    """Say whether two values differ by no more than `TOO_CLOSE`, whatever their intervals."""
    least, most = sorted((own.value, other.value))
    return least >= most * (1 - TOO_CLOSE)


def more(own: Estimate, least: Estimate) -> float:
    """Return by how many percent `own` is more than `least`."""
    return 100 * (own.value / least.value - 1) if least.value else math.inf


def amount(cost: Estimate, objective: Objective) -> str:
    """Return what an objective weighs with its unit."""
    value = cost.shown
    match objective.goal:
        case "latency":
            return f"{value:.{0 if value >= 10 else 2}f} ms"
        case "throughput":
            return f"{1 / value:.1f} times real time"
        case "size":
            return f"{value / 1e6:.1f} MB"
        case "memory":
            return f"{value:.0f} MiB"


def by_objective(
    items: Iterable[T], *, scores: Callable[[T], Scores], objective: Objective
) -> list[T]:
    """Order by cost; of those too close to the cheapest, a noticeably smaller one goes first.

    Where rounds were paired it must certainly be close: so no noise brings what may be much dearer
    to the front. Of twins the one that came first goes first. What has no number for its cost goes
    last, the smallest first.
    """

    def cost(item: T) -> Estimate:
        return scores(item).cost(objective)

    def size(item: T) -> int:
        return scores(item).size_bytes

    given = list(items)
    known = (item for item in given if cost(item).known)
    left = sorted(known, key=lambda item: (cost(item).value, size(item)))
    ordered = []
    while left:
        cheapest, *others = left
        smaller = [
            item
            for item in others
            if size(item) <= size(cheapest) * (1 - _SMALLER)
            and close(cost(item), cost(cheapest))
            and (cost(item).plain is None or cost(item).high <= cost(cheapest).value * SAME)
        ]
        ordered.append(min(smaller, key=size, default=cheapest))
        left.remove(ordered[-1])
    unknown = sorted((item for item in given if not cost(item).known), key=size)
    return [*ordered, *unknown]


def unkept(scores: Scores, objective: Objective) -> Iterator[Reason]:
    """Yield a reason for every limit of `objective` that is broken, or not known to be kept."""
    known = {
        "wer_delta": scores.wer_delta,
        "latency_ms_p50": scores.latency_ms.shown if scores.latency_ms else None,
        "size_bytes": float(scores.size_bytes),
        "peak_rss_mb": scores.peak_rss_mb,
    }
    for name, bound in objective.at_most.items():
        value = known[name]
        if value is None:
            yield because("ranking.limit-unknown", name, bound=bound)
        elif not value <= bound:
            yield because("ranking.limit-broken", name, value=value, bound=bound)


def outside(scores: Scores, objective: Objective) -> Reason | None:
    """Return the first limit of `objective` that is not kept, or not known to be kept."""
    return next(unkept(scores, objective), None)


def broken(scores: Scores, objective: Objective) -> Reason | None:
    """Return the first limit of `objective` that is known to be broken."""
    found = unkept(scores, objective)
    return next((reason for reason in found if reason.code == "ranking.limit-broken"), None)


def front(points: Mapping[K, tuple[float | None, float | None]]) -> set[K]:
    """Return the keys of the points that no other point beats; both costs are minimised.

    Of points in the very same place all stay; a point without two finite costs never does.
    """
    costs = {
        key: (x, y)
        for key, (x, y) in points.items()
        if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)
    }
    return {
        key
        for key, (x, y) in costs.items()
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in costs.values())
    }
