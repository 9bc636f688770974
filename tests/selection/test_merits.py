"""What an objective weighs, which limits are kept, and what is said of those that stand behind."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperopt.matrix import LATENCY, Objective
from whisperopt.selection.contest import Figure, faster
from whisperopt.selection.merits import (
    Merits,
    behind,
    breaks,
    by_objective,
    figure,
    inverse,
    outside,
    tie,
)

MEASURED = Merits(
    size_bytes=70,
    latency_ms=figure(100.0, (90.0, 110.0)),
    throughput=inverse(20.0, (10.0, 40.0)),
    peak_rss_mb=300.0,
    wer_delta=0.25,
)
UNMEASURED = Merits(size_bytes=70)
AIMS = [Objective(goal=goal) for goal in ("latency", "throughput", "size", "memory")]


def timed(
    value: float, low: float | None = None, high: float | None = None, size: int = 1
) -> Merits:
    return Merits(size_bytes=size, latency_ms=figure(value, (low or value, high or value)))


def test_every_objective_weighs_its_own_number() -> None:
    latency, throughput, size, memory = (MEASURED.cost(aim) for aim in AIMS)
    assert latency == Figure(value=100, low=90, high=110)
    assert throughput == Figure(value=1 / 20, low=1 / 40, high=1 / 10)
    assert size == Figure(value=70, low=70, high=70)
    assert memory == Figure(value=300, low=300, high=300)


def test_what_was_not_measured_has_a_size_only() -> None:
    assert [UNMEASURED.cost(aim).known for aim in AIMS] == [False, False, True, False]


def test_a_number_without_an_interval_is_beyond_doubt() -> None:
    assert figure(3.0, None) == Figure(value=3, low=3, high=3)
    assert inverse(4.0, None) == Figure(value=0.25, low=0.25, high=0.25)


@pytest.mark.parametrize("rate", [(0.0, None), (0.0, (0.0, 0.0)), (5.0, (0.0, 9.0))])
def test_a_rate_of_nothing_is_not_known(rate: tuple[float, tuple[float, float] | None]) -> None:
    """Samples that were edited by hand may say so; it must end no command."""
    assert not inverse(*rate).known


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, None),
        ({"wer_delta": 0.25, "latency_ms_p50": 100, "size_bytes": 70, "peak_rss_mb": 300}, None),
        ({"wer_delta": 0.2}, "its wer_delta is 0.25, and at most 0.2 was asked for"),
        ({"latency_ms_p50": 99}, "its latency_ms_p50 is 100, and at most 99"),
        ({"size_bytes": 69}, "its size_bytes is 70, and at most 69"),
        ({"peak_rss_mb": 1}, "its peak_rss_mb is 300, and at most 1"),
        ({"wer_delta": 1, "size_bytes": 69}, "size_bytes"),
    ],
)
def test_limits_are_kept_up_to_the_bound(limits: dict[str, float], words: str | None) -> None:
    aim = Objective(at_most=limits)  # type: ignore[arg-type]  # keys of a Literal
    found = outside(MEASURED, aim)
    assert found == breaks(MEASURED, aim)
    assert (found is None) if words is None else (words in str(found))


@pytest.mark.parametrize("name", ["wer_delta", "latency_ms_p50", "peak_rss_mb"])
def test_what_is_not_known_keeps_no_limit_and_breaks_none(name: str) -> None:
    aim = Objective(at_most={name: 1.0})  # type: ignore[dict-item]  # keys of a Literal
    assert f"its {name} is not known" in str(outside(UNMEASURED, aim))
    assert breaks(UNMEASURED, aim) is None


def test_a_limit_that_is_broken_for_certain_is_told_even_behind_an_unknown_one() -> None:
    aim = Objective(at_most={"latency_ms_p50": 1.0, "size_bytes": 1.0})
    assert "latency_ms_p50 is not known" in str(outside(UNMEASURED, aim))
    assert "size_bytes is 70" in str(breaks(UNMEASURED, aim))


def test_no_number_at_all_breaks_a_limit() -> None:
    nan = Merits(size_bytes=1, wer_delta=math.nan)
    assert "nan" in str(breaks(nan, Objective(at_most={"wer_delta": 9.0})))


@pytest.mark.parametrize(
    ("own", "best", "words"),
    [
        (timed(150), timed(100), "50 % slower"),
        (timed(102), timed(100), "too close to call (+2 %) and not smaller"),
        (timed(98), timed(100), "too close to call (-2 %) and not smaller"),
        (
            timed(130, 90, 140),
            timed(100, 80, 110),
            "too noisy to call (+30 %, the ranges of the rounds overlap) and not smaller",
        ),
        (UNMEASURED, timed(100), "its latency is not known"),
        (timed(math.nan), timed(100), "its latency is not known"),
    ],
)
def test_who_stands_behind_is_told_by_how_much(own: Merits, best: Merits, words: str) -> None:
    assert behind(own, best, LATENCY) == words


@pytest.mark.parametrize(
    ("aim", "words"),
    [
        ("size", "100 % larger"),
        ("memory", "50 % more memory"),
        ("throughput", "25 % slower with many clips"),
    ],
)
def test_the_words_are_those_of_the_objective(aim: str, words: str) -> None:
    best = Merits(size_bytes=50, peak_rss_mb=100.0, throughput=inverse(10.0, None))
    own = Merits(size_bytes=100, peak_rss_mb=150.0, throughput=inverse(8.0, None))
    objective = next(one for one in AIMS if one.goal == aim)
    assert behind(own, best, objective) == words


def test_too_close_to_the_best_but_clearly_behind_another_is_told_so() -> None:
    """The third is the smallest of all, so "not smaller" would be a lie."""
    rivals = {"b": timed(104, size=5), "a": timed(100, size=10), "c": timed(107, size=1)}
    assert behind(rivals["c"], rivals["b"], LATENCY, rivals=rivals) == "7 % slower than a"


def test_sizes_of_nothing_divide_nothing() -> None:
    found = behind(Merits(size_bytes=9), Merits(size_bytes=0), Objective(goal="size"))
    assert "larger" in found


def test_ties_are_close_or_noisy() -> None:
    assert tie(figure(104, None), figure(100, None)) == "too close to call with"
    assert tie(figure(120, (90, 130)), figure(100, (80, 110))) == "too noisy to tell from"


numbers = st.floats(1, 1000)
merits = st.builds(
    lambda values, size: timed(values[1], values[0], values[2], size),
    st.tuples(numbers, numbers, numbers).map(sorted),
    st.integers(1, 9),
)


@given(st.lists(merits, min_size=1, max_size=8))
def test_not_smaller_is_only_said_of_what_is_not_smaller(made: list[Merits]) -> None:
    order = by_objective(made, merits=lambda one: one, objective=LATENCY)
    rivals = {str(place): one for place, one in enumerate(order)}
    for one in order[1:]:
        said = behind(one, order[0], LATENCY, rivals=rivals)
        if "not smaller" in said:
            assert one.size_bytes >= order[0].size_bytes
        else:
            cost = one.cost(LATENCY)
            assert any(faster(other.cost(LATENCY), cost) for other in order)
