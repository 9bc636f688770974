"""The numbers of a variant that an objective weighs, each with the interval of the true one."""

import math
from collections.abc import Callable

import msgspec

from whisperopt.matrix import Objective

Interval = tuple[float, float]


class Estimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measured number of which less is better, above 0, and the interval of the true one."""

    value: float
    low: float
    high: float
    plain: float | None = None
    """The median that people see, where the three are by ratios within rounds."""

    @property
    def shown(self) -> float:
        """The number to show and to hold to limits; the others are for comparisons."""
        return self.value if self.plain is None else self.plain

    @property
    def known(self) -> bool:
        """Whether all three are numbers that can belong together."""
        numbers = (self.low, self.value, self.high)
        return all(math.isfinite(number) for number in numbers) and sorted(numbers) == [*numbers]


UNKNOWN = Estimate(value=math.inf, low=math.inf, high=math.inf)


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """What objectives weigh; None is not known."""

    size_bytes: int
    latency_ms: Estimate | None = None
    throughput: Estimate | None = None
    """Seconds for a second of audio, with as many clips at once as the session takes."""
    peak_rss_mb: float | None = None
    wer_delta: float | None = None

    def cost(self, objective: Objective) -> Estimate:
        """Return what `objective` wants least of; infinite if it is not known."""
        match objective.goal:
            case "latency":
                return self.latency_ms or UNKNOWN
            case "size":
                return estimate(float(self.size_bytes))
            case "memory":
                return estimate(self.peak_rss_mb) if self.peak_rss_mb else UNKNOWN
            case "throughput":
                return self.throughput or UNKNOWN


def estimate(
    value: float, interval: Interval | None = None, plain: float | None = None
) -> Estimate:
    """Return a measured number with its interval; without one there is no doubt to weigh."""
    low, high = interval or (value, value)
    return Estimate(value=value, low=low, high=high, plain=plain)


def inverse(rate: float, interval: Interval | None = None, plain: float | None = None) -> Estimate:
    """Return a rate, of which more is better, as what it costs."""
    low, high = interval or (rate, rate)
    if not min(low, rate, high) > 0:
        return UNKNOWN
    shown = 1 / plain if plain else None
    return Estimate(value=1 / rate, low=1 / high, high=1 / low, plain=shown)


def within_rounds(
    value: float | None,
    interval: Interval | None,
    paired: tuple[float, float, float] | None,
    cost: Callable[[float, Interval | None, float | None], Estimate] = estimate,
) -> Estimate | None:
    """Return a measured number as its `cost`, by ratios within rounds if there were any."""
    if paired:
        return cost(paired[0], paired[1:], value)
    return cost(value, interval, None) if value else None
