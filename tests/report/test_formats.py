import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperopt.release.markdown import clean
from whisperopt.report import formats


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_no_number_is_a_dash(value):
    assert formats.number(value) == formats.percent(value) == formats.points(value) == "–"


def test_a_change_has_its_sign_and_nothing_has_none():
    assert [formats.points(v) for v in (0.5, -0.274, 0.0, -0.0001)] == [
        "+0.50",
        "−0.27",
        "0.00",
        "0.00",
    ]


def test_sizes_are_megabytes():
    assert formats.megabytes(48_580_915) == "49 MB"
    assert formats.megabytes(2_500_000_000) == "2,500 MB"
    assert formats.megabytes(0) == formats.megabytes(None) == "–"


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
    assert word in formats.shows(bounds, 0.5)


def test_an_interval_that_is_none_says_nothing():
    assert formats.shows(None, 0.5) == formats.shows((math.nan, 1.0), 0.5) == ""
    assert formats.interval(None) == formats.interval((0.0, math.inf)) == "–"


def test_short_times_and_slow_speeds_have_a_decimal():
    assert formats.finely(11.44, " ms") == "11.4 ms"
    assert formats.finely(329.6, " ms") == "330 ms"
    assert formats.rounds((11.0, 12.0)) == "11.0 … 12.0"
    assert formats.rounds((318.2, 318.4)) == "318"
    assert [formats.finely(value, "×") for value in (9.94, 351.2, None)] == ["9.9×", "351×", "–"]


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_can_be_written(text):
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    assert clean(cleaned) == cleaned
    cleaned.encode("utf-8")
