"""What the laps of a race say: medians over rounds, and how sure they are."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import median

import msgspec

from whisperopt.proof.evidence import Lap, Race

Interval = tuple[float, float]
_NEVER = float("inf")


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Times of one variant; each interval goes from the smallest value of a round to the largest.

    Of n rounds, the smallest and the largest value enclose the true median with a probability of
    1 - 2 / 2^n, 97 % for six rounds, whatever the distribution is: all n lie on the same side of
    it as rarely as n coins all fall alike (H. A. David, H. N. Nagaraja: Order Statistics, 3rd
    edition, section 7.1).
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
        latency_interval=(min(latency, default=_NEVER), max(latency, default=_NEVER)),
        throughput=median(throughput or [0.0]),
        throughput_interval=(min(throughput, default=0.0), max(throughput, default=0.0)),
        rtfx=median(_by_round(alone, _rate) or [0.0]),
    )


def _by_round(laps: Iterable[Lap], value: Callable[[Sequence[Lap]], float]) -> list[float]:
    rounds: dict[int, list[Lap]] = defaultdict(list)
    for lap in laps:
        rounds[lap.round].append(lap)
    return [value(found) for found in rounds.values()]


def _rate(laps: Sequence[Lap]) -> float:
    return sum(lap.seconds for lap in laps) * 1e9 / sum(lap.total_ns for lap in laps)
