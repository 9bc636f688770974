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


@pytest.mark.parametrize(
    ("bounds", "word"),
    [
        ((-0.2, 0.8), "No difference"),
        ((0.0, 0.0), "No clip has more or fewer errors"),
        ((0.6, 0.8), "Above the gate of +0.50 beyond what chance explains"),
        ((-0.8, -0.1), "Better than the core model"),
        ((0.1, 0.3), "Worse than the core model"),
        ((-0.1, 0.3), "No difference"),
        ((-0.3, 0.0), "No difference"),
    ],
)
def test_an_interval_is_read_for_what_it_shows(bounds, word):
    assert word in numbers.shows(bounds, 0.5)


def test_an_interval_that_is_none_says_nothing():
    assert numbers.shows(None, 0.5) == numbers.shows((math.nan, 1.0), 0.5) == ""
    assert numbers.interval(None) == numbers.interval((0.0, math.inf)) == "–"


def test_short_times_and_slow_speeds_have_a_decimal():
    assert numbers.milliseconds(11.44) == "11.4 ms"
    assert numbers.milliseconds(329.6) == "330 ms"
    assert numbers.rounds((11.0, 12.0)) == "11.0 … 12.0"
    assert numbers.rounds((318.2, 318.4)) == "318"
    assert [numbers.speed(value) for value in (9.94, 351.2, None)] == ["9.9×", "351×", "–"]


def test_a_note_becomes_a_sentence():
    assert numbers.sentence("with 3 clips.") == numbers.sentence("with 3 clips") == "With 3 clips."
    assert numbers.sentence("") == ""
