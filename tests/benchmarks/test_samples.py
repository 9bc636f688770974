import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers import samples
from tests.benchmarks.rows import RECORDINGS, SECONDS, row


@pytest.mark.parametrize(
    ("seconds", "index"), [(0.1, 0), (4.99, 0), (5.0, 1), (10.0, 2), (20.0, 3), (30.0, 3)]
)
def test_a_length_has_one_bucket(seconds: float, index: int) -> None:
    assert samples.bucket(seconds) == index


def test_a_long_recording_has_no_bucket() -> None:
    assert samples.bucket(30.01) is None


@given(st.lists(st.integers(1, 10**12), min_size=1))
def test_half_of_the_times_lie_below_p50(nanoseconds: list[int]) -> None:
    found = samples.percentiles(nanoseconds)
    assert found is not None
    p50, p95 = found
    assert p50 <= p95 * (1 + 1e-12)
    assert p50 == pytest.approx(float(np.median(nanoseconds)) / 1e6)


def test_nothing_has_no_percentiles() -> None:
    assert samples.percentiles([]) is None


def test_rtfx_is_audio_by_wall_time() -> None:
    slow_then_fast = row("a", [3000, 1000])
    assert samples.rtfx(slow_then_fast, SECONDS) == pytest.approx(2 * 20 / 8)
    assert samples.best_rtfx(slow_then_fast, SECONDS) == pytest.approx(20 / 2)
    assert samples.thrift(slow_then_fast, SECONDS) == pytest.approx(2 * 20 / 16)
    assert samples.cores(slow_then_fast) == pytest.approx(2)


def test_without_samples_there_are_no_numbers() -> None:
    empty = row("a", [])
    assert samples.rtfx(empty, SECONDS) is None
    assert samples.best_rtfx(empty, SECONDS) is None
    assert samples.cores(empty) is None
    assert samples.error_rate(empty, RECORDINGS, {"en"}) is None


def test_errors_are_counted_once_and_by_language() -> None:
    wrong = row("a", [1, 1, 1], lang="eins zwei drei fünf")
    assert samples.error_rate(wrong, RECORDINGS, {"en"}) == 0
    assert samples.error_rate(wrong, RECORDINGS, {"de"}) == 25


def test_times_are_kept_apart_by_length() -> None:
    times = samples.by_bucket(row("a", [7, 8]), SECONDS)
    assert times == [[7_000_000, 8_000_000], [], [7_000_000, 8_000_000], []]
