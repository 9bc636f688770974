"""What beats what: beyond the noise, and never by chance of the order in which it was asked."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperopt.selection.contest import TOO_CLOSE, Figure, exact, faster, order

NAN, INF = float("nan"), float("inf")
numbers = st.floats(min_value=1e-3, max_value=1e6)
figures = st.tuples(numbers, numbers, numbers).map(
    lambda three: Figure(**dict(zip(("low", "value", "high"), sorted(three), strict=True)))
)
items = st.lists(st.tuples(figures, st.integers(0, 5)), max_size=12)


def ranked(found: list[tuple[Figure, int]]) -> list[tuple[Figure, int]]:
    return order(found, cost=lambda item: item[0], size=lambda item: item[1])


def between(low: float, value: float, high: float) -> Figure:
    return Figure(value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("one", "other", "wins"),
    [
        (between(90, 100, 110), between(120, 130, 140), True),
        (between(90, 100, 110), between(110, 130, 140), False),  # the intervals touch
        (between(99, 100, 101), between(103, 104, 105), False),  # apart, but within 5 %
        (exact(100), exact(100 / (1 - TOO_CLOSE)), False),
        (exact(100), exact(106), True),
        (exact(100), exact(100), False),
        (exact(100), exact(INF), True),
        (exact(NAN), exact(100), False),
        (exact(NAN), exact(INF), False),
        (between(90, 100, INF), exact(1000), False),
        (exact(1000), between(110, 100, 120), True),  # what cannot be is not known
    ],
)
def test_only_what_is_clearly_less_wins(one: Figure, other: Figure, wins: bool) -> None:
    assert faster(one, other) is wins


@given(figures, figures)
def test_two_never_beat_each_other(one: Figure, other: Figure) -> None:
    assert not (faster(one, other) and faster(other, one))


@given(items)
def test_the_order_is_a_permutation(found: list[tuple[Figure, int]]) -> None:
    assert sorted(ranked(found), key=repr) == sorted(found, key=repr)


@given(items)
def test_nothing_stands_before_what_beats_it(found: list[tuple[Figure, int]]) -> None:
    row = ranked(found)
    for place, behind in enumerate(row):
        assert not any(faster(behind[0], before[0]) for before in row[:place])


@given(items)
def test_the_first_is_no_larger_than_any_other_that_nothing_beats(
    found: list[tuple[Figure, int]],
) -> None:
    row = ranked(found)
    unbeaten = [one for one in row if not any(faster(other[0], one[0]) for other in row)]
    assert all(row[0][1] <= size for _, size in unbeaten)


@given(items, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_asking(
    found: list[tuple[Figure, int]], random: object
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    costs = [(cost.value, size) for cost, size in ranked(found)]
    assert costs == [(cost.value, size) for cost, size in ranked(shuffled)] or len(
        {(cost.value, size) for cost, size in found}
    ) < len(found)


def test_what_is_too_close_to_call_goes_by_size() -> None:
    assert ranked([(exact(100), 2), (exact(104), 1), (exact(106), 0)]) == [
        (exact(104), 1),
        (exact(100), 2),
        (exact(106), 0),
    ]


def test_a_noisy_favourite_does_not_lift_what_another_beats() -> None:
    noisy, quiet, slow = between(5, 10, 20), between(10.5, 10.7, 11), between(15, 20, 25)
    assert ranked([(noisy, 3), (quiet, 2), (slow, 1)]) == [(quiet, 2), (slow, 1), (noisy, 3)]


def test_twins_keep_their_order_and_the_cheaper_goes_first() -> None:
    row = order("abc", cost=lambda one: exact({"a": 2.0, "b": 2.0, "c": 1.99}[one]), size=len)
    assert row == ["c", "a", "b"]


def test_what_has_no_number_goes_last() -> None:
    row = ranked([(exact(NAN), 1), (exact(9), 9), (exact(INF), 0), (exact(1), 9)])
    assert [cost.value for cost, _ in row[:2]] == [1, 9]
    assert row[2][1] == 0
    assert math.isnan(row[3][0].value)
