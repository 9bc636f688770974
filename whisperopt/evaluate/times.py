"""What the laps of a race say: the times of one variant, and which of several can still win.

Two variants are compared within rounds: what disturbs the machine for a while disturbs a round of
both, and their ratio stays. An interval of a median goes from the k-th smallest of its values to
the k-th largest. Whatever the distribution is, a value lies below the true median as often as a coin
shows heads, so of n values the interval holds it with a probability of
1 - 2 * sum(C(n, i) / 2^n for i < k) (H. A. David, H. N. Nagaraja: Order Statistics, 3rd edition,
section 7.1).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import comb, inf
from statistics import geometric_mean, median

import msgspec

from whisperopt.evaluate.evidence import Interval, Lap, Race

LEAST_ROUNDS, MOST_ROUNDS = 6, 30
SURE = 0.999
"""Of a comparison: a race makes several, and looks at them after every round."""
SAME = 1.1
"""Whoever is certainly within this ratio of the leader is as good: its size may decide."""
_FAR, _EVER_FAR = 1.5, 1.25
"""Who takes so many times the leader's time, in the median and in every single round, has lost."""
_HOPELESS, _FEWEST = 2.5, 3
"""Who takes so many times the leader's in every one of so many rounds has lost before the others."""
_ENOUGH_ROUNDS = 11
"""The fewest whose extremes hold the median with `SURE`."""

Rounds = Mapping[int, float]
"""A value above 0 of each round, of which less is better."""
Estimated = tuple[float, float, float]
"""A median, and the interval of the true one."""


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Times of one variant, each with the 95 % interval of its median over the rounds.

    Of ten rounds that is from the second to the ninth, 98 %, so that one disturbed round of either
    kind does no harm. What is paired is the median of its ratio to the leader in the same rounds,
    times the leader's own median, with an interval that is `SURE` from eleven rounds on, and else
    goes from the least to the most: None if the race had no leader.
    """

    latency_ms: float
    """From a clip's samples to its text, alone; infinite if no round counts."""
    latency_interval: Interval
    latency_paired: Estimated | None = None
    throughput: float
    """Seconds of audio in a second, in batches where there were any; 0 if no round counts."""
    throughput_interval: Interval
    throughput_paired: Estimated | None = None
    rtfx: float
    """Seconds of audio in a second, one clip at a time."""


def times(race: Race) -> Times:
    """Judge the laps of `race`; rounds of warming up, which are called 0, do not count."""
    latency, rates = [*latencies(race.laps).values()], [*_rates(race.laps).values()]
    pace = _paired(paces(race.laps), paces(race.leader))
    one_by_one = [lap for lap in race.laps if len(lap.clips) == 1]
    return Times(
        latency_ms=median(latency or [inf]),
        latency_interval=interval(latency or [inf], 0.95),
        latency_paired=_paired(latencies(race.laps), latencies(race.leader)),
        throughput=median(rates or [0.0]),
        throughput_interval=interval(rates or [0.0], 0.95),
        throughput_paired=pace and (1 / pace[0], 1 / pace[2], 1 / pace[1]),
        rtfx=median([*_rates(one_by_one).values()] or [0.0]),
    )


def latencies(laps: Iterable[Lap]) -> Rounds:
    """Return the median time of a clip alone in each round, in milliseconds."""
    alone = (lap for lap in laps if len(lap.clips) == 1)
    return _by_round(alone, lambda found: median(lap.total_ns for lap in found) / 1e6)


def paces(laps: Iterable[Lap]) -> Rounds:
    """Return the seconds for a second of audio in each round, in batches where there were any."""
    return {number: 1 / rate for number, rate in _rates(laps).items()}


def leader(costs: Mapping[str, Rounds]) -> str:
    """Return who takes the least of the time that those still racing take in the same round."""
    most = max(map(len, costs.values()))
    left = [name for name, own in costs.items() if len(own) == most]
    rounds = set.intersection(*(set(costs[name]) for name in left))
    shared = {at: geometric_mean(costs[name][at] for name in left) for at in rounds}
    return min(left, key=lambda name: median(costs[name][at] / shared[at] for at in shared))


def remaining(
    laps: Mapping[str, Sequence[Lap]], number: int, groups: Iterable[Collection[str]] = ()
) -> set[str]:
    """Return who goes on after round `number`: whoever may still win in latency or in throughput.

    Who wins is wanted of all and of each of the `groups`. Whoever leads all goes on with them, since
    all are compared with it in the end, and until there are enough rounds so does who leads a group.
    """
    if number < _FEWEST:
        return set(laps)
    wanted: set[str] = set()
    for costs in ({name: cost(own) for name, own in laps.items()} for cost in (latencies, paces)):
        for group in (costs, *groups):
            if among := {name: own for name, own in costs.items() if name in group}:
                wanted |= _undecided(among)
                wanted |= {leader(among)} if number < LEAST_ROUNDS else set()
        wanted |= {leader(costs)} if wanted else set()
    return wanted


def lost(race: Race) -> bool:
    """Say whether a race showed in few rounds that its leader is out of reach."""
    return _is_lost(_ratios(latencies(race.laps), latencies(race.leader)))


def _undecided(costs: Mapping[str, Rounds]) -> set[str]:
    """Return who must go on: whoever may still beat the leader, and then the leader too.

    Who is certainly slower than the leader is out, and who is certainly as fast is known.
    """
    first = leader(costs)
    open_ = {name for name, own in costs.items() if not _decided(own, costs[first])}
    return open_ | {first} if open_ - {first} else set()


def interval(values: Sequence[float], sure: float) -> Interval:
    """Return the interval of the median of `values`; of few values from the least to the most."""
    count, spared, tail = len(values), 0, 1
    while 1 - 2 * (tail + comb(count, spared + 1)) / 2**count >= sure:
        spared += 1
        tail += comb(count, spared)
    ordered = sorted(values)
    return ordered[spared], ordered[-1 - spared]


def _decided(own: Rounds, first: Rounds) -> bool:
    ratios = _ratios(own, first)
    if _is_lost(ratios):
        return True
    if len(ratios) < LEAST_ROUNDS:
        return False
    if min(ratios) > _EVER_FAR and median(ratios) > _FAR:
        return True
    low, high = interval(ratios, SURE)
    return len(ratios) >= _ENOUGH_ROUNDS and (low > 1 or (low > 1 / SAME and high < SAME))


def _is_lost(ratios: Sequence[float]) -> bool:
    return len(ratios) >= _FEWEST and min(ratios) > _HOPELESS


def _ratios(own: Rounds, first: Rounds) -> list[float]:
    return [own[at] / first[at] for at in own.keys() & first.keys()]


def _paired(own: Rounds, first: Rounds) -> Estimated | None:
    ratios = _ratios(own, first)
    if not ratios:
        return None
    scale, (low, high) = median(first.values()), interval(ratios, SURE)
    return median(ratios) * scale, low * scale, high * scale


def _rates(laps: Iterable[Lap]) -> Rounds:
    """Return the seconds of audio in a second of each round, of batches where there were any."""
    every = [*laps]
    together = [lap for lap in every if len(lap.clips) > 1]
    return _by_round(
        together or every,
        lambda found: sum(lap.seconds for lap in found) * 1e9 / sum(lap.total_ns for lap in found),
    )


def _by_round(laps: Iterable[Lap], value: Callable[[Sequence[Lap]], float]) -> Rounds:
    rounds: dict[int, list[Lap]] = defaultdict(list)
    for lap in laps:
        if lap.round:
            rounds[lap.round].append(lap)
    return {number: value(found) for number, found in rounds.items()}
