"""Which of several measurements is better, on machines that never measure the same thing twice."""

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

T = TypeVar("T")

TOO_CLOSE = 0.05
"""Values that differ by less than this share are too close to call on a machine with noise."""


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measured number of which less is better, above 0, and the interval of the true one."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether all three are numbers that can belong together."""
        numbers = (self.low, self.value, self.high)
        return all(math.isfinite(number) for number in numbers) and sorted(numbers) == [*numbers]


def exact(value: float) -> Figure:
    """Return a figure without any doubt, such as a size."""
    return Figure(value=value, low=value, high=value)


def faster(one: Figure, other: Figure) -> bool:
    """Say whether `one` beats `other` beyond the noise.

    Its interval must lie wholly below the other's, and its value be lower by more than
    `TOO_CLOSE`. Any known figure beats one that is no number; that one beats none.
    """
    if not (one.known and other.known):
        return one.known
    return one.high < other.low and one.value < other.value * (1 - TOO_CLOSE)


def order(items: Iterable[T], *, cost: Callable[[T], Figure], size: Callable[[T], int]) -> list[T]:
    """Order by cost; of those that none left beats, the cheapest among them, the smallest goes first.

    So nothing ever stands before what beats it. Where the sizes are equal too the cheaper goes
    first, and of twins the one that came first. What has no number for its cost goes last, the
    smallest first.
    """
    given = list(items)
    left = sorted((item for item in given if cost(item).known), key=lambda i: cost(i).value)
    ranked = []
    while left:
        unbeaten = [
            place
            for place, item in enumerate(left)
            if not any(faster(cost(other), cost(item)) for other in left)
        ]
        ranked.append(left.pop(min(unbeaten, key=lambda place: size(left[place]))))
    unknown = sorted((item for item in given if not cost(item).known), key=size)
    return [*ranked, *unknown]
