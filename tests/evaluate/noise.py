"""Races on machines that are disturbed in every way that we could think of, without any clock."""

import math
import random
from collections.abc import Callable, Iterator, Mapping

from whisperopt.evaluate.evidence import Lap, Race
from whisperopt.evaluate.times import MOST_ROUNDS, latencies, leader, remaining

Noise = Callable[[random.Random], Iterator[float]]
"""Factors of the times of one lap after the other."""
CLIPS = 3


def quiet(dice: random.Random) -> Iterator[float]:
    """Two percent either way, as on an idle machine."""
    while True:
        yield math.exp(dice.gauss(0, 0.02))


def drift(dice: random.Random) -> Iterator[float]:
    """A machine that warms up and takes three times as long in the end."""
    for lap, factor in enumerate(quiet(dice)):
        yield factor * min(3, 1 + lap / 200)


def heavy_tails(dice: random.Random) -> Iterator[float]:
    """One lap in ten takes up to ten times as long."""
    for factor in quiet(dice):
        yield factor / max(dice.random(), 0.1) if dice.random() < 0.1 else factor


def bursts(dice: random.Random) -> Iterator[float]:
    """Somebody else works for a quarter of the time, some dozen laps on end."""
    busy = False
    for factor in quiet(dice):
        if dice.random() < (1 / 12 if busy else 1 / 36):
            busy = not busy
        yield factor * (2.5 if busy else 1)


def one_slow_round(dice: random.Random) -> Iterator[float]:
    """Some thirty laps on end take five times as long, once."""
    start = dice.randrange(100)
    for lap, factor in enumerate(quiet(dice)):
        yield factor * (5 if start <= lap < start + 30 else 1)


def throttled(dice: random.Random) -> Iterator[float]:
    """The clock halves and comes back every few seconds."""
    phase = dice.random() * 10
    for lap, factor in enumerate(quiet(dice)):
        yield factor * (1.8 if math.sin(phase + lap / 9) > 0 else 1)


def jitter(dice: random.Random) -> Iterator[float]:
    """Every lap is off by a sixth, each on its own."""
    while True:
        yield math.exp(dice.gauss(0, 1 / 6))


FAMILIES: tuple[Noise, ...] = (
    *(quiet, drift, heavy_tails, bursts, one_slow_round, throttled, jitter),
)


def race(paces_ms: Mapping[str, float], noise: Noise, seed: int) -> dict[str, Race]:
    """Race variants that take so many ms for a second of audio, as `evaluate.race` would."""
    factors = noise(random.Random(seed))
    laps: dict[str, list[Lap]] = {name: [] for name in paces_ms}
    left = list(paces_ms)
    for number in range(1, MOST_ROUNDS + 1):
        first = number % len(left)
        for name in (*left[first:], *left[:first]):
            for clips in (*((clip,) for clip in "abc"[:CLIPS]), tuple("abc"[:CLIPS])):
                took = paces_ms[name] * len(clips) * next(factors)
                laps[name].append(
                    Lap(round=number, clips=clips, seconds=len(clips), total_ns=round(took * 1e6))
                )
        wanted = remaining({name: laps[name] for name in left}, number)
        left = [name for name in left if name in wanted]
        if not left:
            break
    best = laps[leader({name: latencies(own) for name, own in laps.items()})]
    return {
        name: Race(
            rivals=tuple(laps),
            started="2026-11-28T12:00:00+00:00",
            load_ns=1,
            peak_rss_bytes=1,
            laps=tuple(own),
            leader=tuple(best),
        )
        for name, own in laps.items()
    }
