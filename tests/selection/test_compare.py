"""What beats what: beyond the noise, within limits, and never by chance of the order of asking."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperopt.matrix import LATENCY, Objective
from whisperopt.results.scores import UNKNOWN, Estimate, Scores, estimate, inverse
from whisperopt.selection.compare import (
    TOO_CLOSE,
    broken,
    by_objective,
    close,
    faster,
    front,
    outside,
)
from whisperopt.selection.rank import behind

NAN, INF = float("nan"), float("inf")
MEASURED = Scores(
    size_bytes=70,
    latency_ms=estimate(100.0, (90.0, 110.0)),
    throughput=inverse(20.0, (10.0, 40.0)),
    peak_rss_mb=300.0,
    wer_delta=0.25,
)
UNMEASURED = Scores(size_bytes=70)
AIMS = {goal: Objective(goal=goal) for goal in ("latency", "throughput", "size", "memory")}


def timed(
    value: float, low: float | None = None, high: float | None = None, size: int = 1
) -> Scores:
    reach = (low or value, high or value)
    return Scores(size_bytes=size, latency_ms=estimate(value, reach, plain=low and value))


def ordered(found: list[Scores]) -> list[Scores]:
    return by_objective(found, scores=lambda item: item, objective=LATENCY)


numbers = st.floats(min_value=1e-3, max_value=1e6)
three = st.tuples(numbers, numbers, numbers).map(sorted)
estimates = three.map(lambda found: Estimate(low=found[0], value=found[1], high=found[2]))
lots = st.lists(
    st.builds(
        lambda cost, size: Scores(size_bytes=size, latency_ms=cost), estimates, st.integers(0, 5)
    ),
    max_size=12,
)

# Costs


def test_every_objective_weighs_its_own_number() -> None:
    assert {goal: MEASURED.cost(aim) for goal, aim in AIMS.items()} == {
        "latency": Estimate(value=100, low=90, high=110),
        "throughput": Estimate(value=1 / 20, low=1 / 40, high=1 / 10),
        "size": Estimate(value=70, low=70, high=70),
        "memory": Estimate(value=300, low=300, high=300),
    }


def test_what_was_not_measured_has_a_size_only() -> None:
    assert {goal for goal, aim in AIMS.items() if UNMEASURED.cost(aim).known} == {"size"}


@pytest.mark.parametrize("rate", [(0.0, None), (0.0, (0.0, 0.0)), (5.0, (0.0, 9.0))])
def test_a_rate_of_nothing_is_not_known(rate: tuple[float, tuple[float, float] | None]) -> None:
    """Samples that were edited by hand may say so; it must end no command."""
    assert not inverse(*rate).known


# Two


@pytest.mark.parametrize(
    ("own", "other", "wins"),
    [
        (estimate(100, (90, 110)), estimate(130, (120, 140)), True),
        (estimate(100, (90, 110)), estimate(130, (110, 140)), False),  # the intervals touch
        (estimate(100, (99, 101)), estimate(104, (103, 105)), False),  # apart, but within 5 %
        (estimate(100), estimate(100 / (1 - TOO_CLOSE)), False),
        (estimate(100), estimate(106), True),
        (estimate(100), estimate(100), False),
        (estimate(100), estimate(INF), True),
        (estimate(NAN), estimate(100), False),
        (estimate(NAN), estimate(INF), False),
        (estimate(100, (90, INF)), estimate(1000), False),
        (estimate(1000), estimate(100, (110, 120)), True),  # what cannot be is not known
    ],
)
def test_only_what_is_clearly_less_wins(own: Estimate, other: Estimate, wins: bool) -> None:
    assert faster(own, other) is wins


@given(estimates, estimates)
def test_two_never_beat_each_other(own: Estimate, other: Estimate) -> None:
    assert not (faster(own, other) and faster(other, own))


def test_close_is_a_matter_of_values() -> None:
    assert close(estimate(104), estimate(100))
    assert close(estimate(100), estimate(104))
    assert not close(estimate(120, (90, 130)), estimate(100, (80, 110)))


# The order


@given(lots)
def test_the_order_is_a_permutation_in_which_nothing_stands_before_what_beats_it(
    found: list[Scores],
) -> None:
    row = ordered(found)
    assert sorted(row, key=repr) == sorted(found, key=repr)
    costs = [item.cost(LATENCY) for item in row]
    for place, later in enumerate(costs):
        assert not any(faster(later, before) for before in costs[:place])
    if costs and costs[0].known:
        least = min(cost.value for cost in costs if cost.known)
        assert costs[0].value == least or close(costs[0], estimate(least))


@given(lots, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_asking(
    found: list[Scores], shuffle: random.Random
) -> None:
    shuffled = list(found)
    shuffle.shuffle(shuffled)
    keys = [(item.cost(LATENCY).value, item.size_bytes) for item in ordered(found)]
    again = [(item.cost(LATENCY).value, item.size_bytes) for item in ordered(shuffled)]
    assert keys == again or len(set(keys)) < len(found)


def test_what_is_too_close_to_call_goes_by_size() -> None:
    slow, near, first = timed(106, size=0), timed(104, size=1), timed(100, size=2)
    assert ordered([first, near, slow]) == [near, first, slow]


def test_a_noisy_favourite_lifts_nothing_that_may_be_slower() -> None:
    noisy, near = timed(10, 5, 20, size=3), timed(10.4, 9, 12, size=2)
    slow = timed(20, 15, 25, size=1)
    assert ordered([slow, near, noisy]) == [noisy, near, slow]
    sure = timed(10.4, 9, 10.9, size=2)
    assert ordered([slow, sure, noisy]) == [sure, noisy, slow]


def test_a_few_bytes_decide_nothing() -> None:
    assert ordered([timed(102, size=96), timed(100, size=100)])[0].size_bytes == 100
    assert ordered([timed(102, size=95), timed(100, size=100)])[0].size_bytes == 95


def test_twins_keep_their_order_and_the_cheaper_goes_first() -> None:
    costs = {"a": 2.0, "b": 2.0, "c": 1.99}
    row = by_objective("abc", scores=lambda name: timed(costs[name]), objective=LATENCY)
    assert row == ["c", "a", "b"]


def test_what_has_no_number_goes_last_the_smallest_first() -> None:
    nan, inf = timed(NAN, size=1), Scores(size_bytes=0, latency_ms=UNKNOWN)
    row = ordered([nan, timed(9, size=9), inf, timed(1, size=9)])
    assert row == [timed(1, size=9), timed(9, size=9), inf, nan]


# Limits


@pytest.mark.parametrize(
    ("limits", "place", "value"),
    [
        ({}, None, None),
        (
            {"wer_delta": 0.25, "latency_ms_p50": 100, "size_bytes": 70, "peak_rss_mb": 300},
            None,
            None,
        ),
        ({"wer_delta": 0.2}, "wer_delta", 0.25),
        ({"latency_ms_p50": 99}, "latency_ms_p50", 100),
        ({"size_bytes": 69}, "size_bytes", 70),
        ({"peak_rss_mb": 1}, "peak_rss_mb", 300),
        ({"wer_delta": 1, "size_bytes": 69}, "size_bytes", 70),
    ],
)
def test_limits_are_kept_up_to_the_bound(
    limits: dict[str, float], place: str | None, value: float | None
) -> None:
    aim = Objective(at_most=limits)  # type: ignore[arg-type]  # keys of a Literal
    found = outside(MEASURED, aim)
    assert found == broken(MEASURED, aim)
    assert (found and (found.place, found.values["value"])) == (place and (place, value))


@pytest.mark.parametrize("name", ["wer_delta", "latency_ms_p50", "peak_rss_mb"])
def test_what_is_not_known_keeps_no_limit_and_breaks_none(name: str) -> None:
    aim = Objective(at_most={name: 1.0})  # type: ignore[dict-item]  # keys of a Literal
    found = outside(UNMEASURED, aim)
    assert found
    assert (found.code, found.place) == ("ranking.limit-unknown", name)
    assert broken(UNMEASURED, aim) is None


def test_a_limit_that_is_broken_for_certain_is_told_even_behind_an_unknown_one() -> None:
    aim = Objective(at_most={"latency_ms_p50": 1.0, "size_bytes": 1.0})
    places = [
        found and found.place for found in (outside(UNMEASURED, aim), broken(UNMEASURED, aim))
    ]
    assert places == ["latency_ms_p50", "size_bytes"]


def test_no_number_at_all_breaks_a_limit() -> None:
    nan = Scores(size_bytes=1, wer_delta=math.nan)
    assert "is nan" in str(broken(nan, Objective(at_most={"wer_delta": 9.0})))


# Who stands behind


@pytest.mark.parametrize(
    ("own", "best", "words"),
    [
        (timed(150), timed(100), "50 % slower"),
        (timed(102), timed(100), "too close to call (+2 %) and not smaller"),
        (timed(98), timed(100), "too close to call (-2 %) and not smaller"),
        (
            timed(130, 90, 140),
            timed(100, 80, 110),
            "+30 % by its median, which is undecided: the rounds disagree",
        ),
        (UNMEASURED, timed(100), "its latency is not known"),
        (timed(NAN), timed(100), "its latency is not known"),
    ],
)
def test_who_stands_behind_is_told_by_how_much(own: Scores, best: Scores, words: str) -> None:
    assert str(behind(own, best, LATENCY)) == words


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ("size", "100 % larger"),
        ("memory", "50 % more memory"),
        ("throughput", "25 % slower with many clips"),
    ],
)
def test_the_words_are_those_of_the_objective(goal: str, words: str) -> None:
    best = Scores(size_bytes=50, peak_rss_mb=100.0, throughput=inverse(10.0))
    own = Scores(size_bytes=100, peak_rss_mb=150.0, throughput=inverse(8.0))
    assert str(behind(own, best, AIMS[goal])) == words


def test_sizes_of_nothing_divide_nothing() -> None:
    found = behind(Scores(size_bytes=9), Scores(size_bytes=0), AIMS["size"])
    assert str(found) == "inf % larger"


# The Pareto front

points = st.dictionaries(
    st.integers(0, 20),
    st.tuples(*[st.none() | st.integers(0, 4).map(float) | st.sampled_from([NAN, INF])] * 2),
)


@given(points)
def test_the_front_is_what_nothing_beats_in_both(
    found: dict[int, tuple[float | None, float | None]],
) -> None:
    known = {
        key: (x, y)
        for key, (x, y) in found.items()
        if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)
    }
    assert front(found) == {
        key
        for key, (x, y) in known.items()
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in known.values())
    }


def test_one_point_is_a_front_and_none_is_none() -> None:
    assert front({"a": (1.0, 2.0)}) == {"a"}
    assert front({}) == set()
