"""From laps to medians: warming up does not count, one bad round moves no median."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.races import lap, race
from whisperopt.evaluate.times import times

rounds = st.lists(st.integers(1, 10**6), min_size=1, max_size=8)


def test_the_latency_is_the_median_of_the_rounds_medians() -> None:
    laps = [lap(0, 1), *(lap(n, ms) for n in (1, 2, 3) for ms in (10 * n, 10 * n, 999))]
    found = times(msgspec.structs.replace(race(), laps=tuple(laps)))
    assert found.latency_ms == 20
    assert found.latency_interval == (10, 30)


def test_a_disturbed_round_widens_the_interval_and_leaves_the_median() -> None:
    calm, disturbed = times(race(*[100] * 6)), times(race(*[100] * 5, 5000))
    assert disturbed.latency_ms == calm.latency_ms == 100
    assert calm.latency_interval == (100, 100)
    assert disturbed.latency_interval == (100, 5000)


def test_of_ten_rounds_one_disturbed_either_way_changes_nothing() -> None:
    found = times(race(*[100] * 8, 20, 5000))
    assert (found.latency_ms, found.latency_interval) == (100, (100, 100))
    assert times(race(*[100] * 8, 5000, 5000)).latency_interval == (100, 5000)


@given(st.integers(1, 40))
def test_the_interval_is_the_narrowest_that_holds_the_median_with_95_percent(count: int) -> None:
    low, high = times(race(*range(1, count + 1))).latency_interval
    spared = low - 1
    assert high == count - spared
    missed = [
        2 * sum(math.comb(count, i) for i in range(int(k) + 1)) / 2**count
        for k in (spared, spared + 1)
    ]
    assert missed[1] > 0.05
    assert spared == 0 or missed[0] <= 0.05


def test_throughput_is_that_of_the_batches() -> None:
    found = times(race(100, 100, 100, batch=200))
    assert found.rtfx == pytest.approx(20)
    assert found.throughput == pytest.approx(40)


def test_without_batches_throughput_is_that_of_single_clips() -> None:
    found = times(race(100, 100))
    assert found.throughput == found.rtfx == pytest.approx(20)


def test_without_a_round_that_counts_nothing_is_known() -> None:
    found = times(race())
    assert found.latency_ms == math.inf
    assert found.latency_interval == (math.inf, math.inf)
    assert (found.throughput, found.rtfx) == (0, 0)


@given(rounds)
def test_the_median_lies_in_the_interval(milliseconds: list[int]) -> None:
    found = times(race(*milliseconds))
    low, high = found.latency_interval
    assert (low, high) == (min(milliseconds), max(milliseconds))
    assert low <= found.latency_ms <= high


@given(rounds)
def test_the_order_of_rounds_does_not_matter(milliseconds: list[int]) -> None:
    assert times(race(*milliseconds)).latency_ms == times(race(*milliseconds[::-1])).latency_ms
