"""The Pareto front of two costs."""

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def front(points: Mapping[K, tuple[float | None, float | None]]) -> set[K]:
    """Return the keys of the points that no other point beats; both costs are minimised.

    Of points in the very same place all stay; a point without two finite costs never does.
    """
    costs = {
        key: (x, y)
        for key, (x, y) in points.items()
        if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)
    }
    kept: set[K] = set()
    best: tuple[float, float] | None = None
    for key, cost in sorted(costs.items(), key=lambda item: item[1]):
        if best is None or cost[1] < best[1] or cost == best:
            kept.add(key)
            best = cost
    return kept
