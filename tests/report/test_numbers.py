import math

import pytest

from whisperopt.report import numbers


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_no_number_is_a_dash(value):
    assert numbers.number(value) == numbers.percent(value) == numbers.points(value) == "–"


def test_a_change_has_its_sign_and_nothing_has_none():
    assert [numbers.points(v) for v in (0.5, -0.274, 0.0, -0.0001)] == [
        "+0.50",
        "−0.27",
        "0.00",
        "0.00",
    ]


def test_sizes_are_megabytes():
    assert numbers.megabytes(48_580_915) == "49 MB"
    assert numbers.megabytes(2_500_000_000) == "2,500 MB"
    assert numbers.megabytes(0) == numbers.megabytes(None) == "–"


def test_no_difference_in_few_clips_still_leaves_room():
    said = numbers.allows((0.0, 0.0), 0.5, 26)
    assert "26 clips leave room for up to 11 %" in said
    assert numbers.allows((0.0, 0.0), 0.5, 0) == "No clip has more or fewer errors."


@pytest.mark.parametrize(
    ("bounds", "word"),
    [
        ((-0.2, 0.8), "cannot rule out an increase of +0.80"),
        ((0.6, 0.8), "Above the gate of +0.50 beyond what chance explains"),
        ((-0.8, -0.1), "Better than the core model"),
        ((0.1, 0.3), "Worse than the core model"),
        ((-0.1, 0.3), "No difference"),
        ((-0.3, 0.0), "No difference"),
    ],
)
def test_an_interval_is_read_for_what_it_allows(bounds, word):
    assert word in numbers.allows(bounds, 0.5, 78)


def test_an_interval_that_is_none_says_nothing():
    assert numbers.allows(None, 0.5, 9) == numbers.allows((math.nan, 1.0), 0.5, 9) == ""
    assert numbers.interval(None) == numbers.interval((0.0, math.inf)) == "–"
