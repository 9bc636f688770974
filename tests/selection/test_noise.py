"""What is selected on disturbed machines: hardly ever what is a tenth slower than the fastest."""

import statistics

import pytest

from tests.evaluate.noise import FAMILIES, Noise, race
from whisperopt.evaluate.times import MOST_ROUNDS, times
from whisperopt.matrix import LATENCY, Objective
from whisperopt.results.scores import Scores, inverse, within_rounds
from whisperopt.selection.compare import by_objective

PACES = {"fast": 100.0, "near": 112.0, "middle": 150.0, "slow": 200.0, "slowest": 500.0}
"""Milliseconds for a second of audio; `near` is the least that is wrong to select."""
SIZES = {"fast": 100, "near": 80, "middle": 60, "slow": 40, "slowest": 20}
"""What is slower is smaller, so that size pulls the wrong way."""
THROUGHPUT = Objective(goal="throughput")


def select(noise: Noise, seed: int, objective: Objective) -> tuple[str, int]:
    """Return what is selected, and how many rounds all variants ran together."""
    races = race(PACES, noise, seed)
    scores = {}
    for name, own in races.items():
        found = times(own)
        scores[name] = Scores(
            size_bytes=SIZES[name],
            latency_ms=within_rounds(
                found.latency_ms, found.latency_interval, found.latency_paired
            ),
            throughput=within_rounds(
                found.throughput, found.throughput_interval, found.throughput_paired, inverse
            ),
        )
    rounds = sum(max(lap.round for lap in own.laps) for own in races.values())
    return by_objective(races, scores=scores.__getitem__, objective=objective)[0], rounds


def wrong(noise: Noise, runs: int) -> list[str]:
    found = [select(noise, seed, LATENCY if seed % 2 else THROUGHPUT)[0] for seed in range(runs)]
    return [name for name in found if name != "fast"]


@pytest.mark.parametrize("noise", FAMILIES)
@pytest.mark.parametrize("runs", [25, pytest.param(1500, marks=pytest.mark.soak)])
def test_the_wrong_pick_is_one_in_a_thousand(noise: Noise, runs: int) -> None:
    picked = wrong(noise, runs)
    assert len(picked) <= runs / 1000
    assert not set(picked) & {"slow", "slowest"}  # twice as slow: never


def test_losers_drop_out_early() -> None:
    for noise in FAMILIES:
        rounds = [select(noise, seed, LATENCY)[1] for seed in range(20)]
        assert statistics.fmean(rounds) < 0.75 * MOST_ROUNDS * len(PACES), noise.__name__
