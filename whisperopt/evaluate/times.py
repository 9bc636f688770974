"""What the laps of a race say: medians over rounds, and how sure they are."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import comb
from statistics import median

import msgspec

from whisperopt.evaluate.evidence import Lap, Race

Interval = tuple[float, float]
_NEVER = float("inf")
_SURE = 0.95


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Times of one variant, each with an interval that encloses the true median.

    It goes from the k-th smallest value of a round to the k-th largest. Whatever the distribution
    is, a round lies below the true median as often as a coin shows heads, so with n rounds the
    interval holds it with a probability of 1 - 2 * sum(C(n, i) / 2^n for i < k) (H. A. David,
    H. N. Nagaraja: Order Statistics, 3rd edition, section 7.1). k is the largest that leaves 95 %:
    of ten rounds the second, 98 %, so that one disturbed round of either kind does no harm.
    """

    latency_ms: float
    """From a clip's samples to its text, alone; infinite if no round counts."""
    latency_interval: Interval
    throughput: float
    """Seconds of audio in a second, in batches where there were any; 0 if no round counts."""
    throughput_interval: Interval
    rtfx: float
    """Seconds of audio in a second, one clip at a time."""


def times(race: Race) -> Times:
    """Judge the laps of `race`; rounds of warming up, which are called 0, do not count."""
    alone = [lap for lap in race.laps if lap.round and len(lap.clips) == 1]
    together = [lap for lap in race.laps if lap.round and len(lap.clips) > 1]
    latency = _by_round(alone, lambda laps: median(lap.total_ns for lap in laps) / 1e6)
    throughput = _by_round(together or alone, _rate)
    return Times(
        latency_ms=median(latency or [_NEVER]),
        latency_interval=_interval(latency or [_NEVER]),
        throughput=median(throughput or [0.0]),
        throughput_interval=_interval(throughput or [0.0]),
        rtfx=median(_by_round(alone, _rate) or [0.0]),
    )


def _interval(rounds: Sequence[float]) -> Interval:
    """Return the interval of the median of `rounds`; of few rounds from the best to the worst."""
    count, spared, tail = len(rounds), 0, 1
    while 1 - 2 * (tail + comb(count, spared + 1)) / 2**count >= _SURE:
        spared += 1
        tail += comb(count, spared)
    ordered = sorted(rounds)
    return ordered[spared], ordered[-1 - spared]


def _by_round(laps: Iterable[Lap], value: Callable[[Sequence[Lap]], float]) -> list[float]:
    rounds: dict[int, list[Lap]] = defaultdict(list)
    for lap in laps:
        rounds[lap.round].append(lap)
    return [value(found) for found in rounds.values()]


def _rate(laps: Sequence[Lap]) -> float:
    return sum(lap.seconds for lap in laps) * 1e9 / sum(lap.total_ns for lap in laps)
