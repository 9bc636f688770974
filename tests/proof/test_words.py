"""Word errors after Whisper's normalization, and how sure we are of a difference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperopt.proof import words
from whisperopt.proof.words import WordErrors

ERRORS = st.builds(WordErrors, st.integers(0, 20), st.integers(1, 20))


@pytest.mark.parametrize(
    ("reference", "heard"),
    [
        ("I'm here.", "i am here"),
        ("It costs forty dollars!", "It costs $40"),
        ("The colour is grey", "the color is gray"),
        ("Hello, um, world", "hello world"),
        ("two thousand twenty-six", "2026"),
    ],
)
def test_spelling_is_no_error_in_english(reference: str, heard: str) -> None:
    assert words.count(reference, heard, "en").edits == 0


def test_other_languages_keep_their_words() -> None:
    assert words.count("Grüße aus Köln!", "grüße aus köln", "de") == WordErrors(0, 3)
    assert words.count("Er kam um vierzig", "er kam um 40", "de").edits == 1


@pytest.mark.parametrize(
    ("heard", "edits"),
    [
        ("one two three", 0),
        ("", 3),
        ("one three", 1),
        ("one too three", 1),
        ("well one two three four", 2),
    ],
)
def test_edits_are_counted(heard: str, edits: int) -> None:
    assert words.count("one two three", heard, "de") == WordErrors(edits, 3)


def test_without_a_reference_every_word_is_an_insertion() -> None:
    assert words.count("[laughs]", "hello world", "en") == WordErrors(2, 0)
    assert words.count("", "uno dos", "es") == WordErrors(2, 0)
    assert words.count("", "", "en") == WordErrors(0, 0)


def test_rates_weigh_clips_by_their_words() -> None:
    assert words.rate([WordErrors(1, 1), WordErrors(0, 99)]) == 1
    assert words.rate([]) == 0
    assert words.rate([WordErrors(3, 0)]) == 0


@given(st.lists(ERRORS, min_size=1, max_size=20))
def test_equal_errors_are_surely_no_increase(errors: list[WordErrors]) -> None:
    assert words.increase_interval(errors, errors) == (0, 0)


@given(st.lists(st.tuples(ERRORS, st.integers(-5, 5)), min_size=1, max_size=20))
def test_the_interval_is_ordered_and_within_what_single_clips_say(
    pairs: list[tuple[WordErrors, int]],
) -> None:
    core = [errors for errors, _ in pairs]
    variant = [WordErrors(errors.edits + extra, errors.words) for errors, extra in pairs]
    low, high = words.increase_interval(variant, core)
    singles = [100 * extra / errors.words for errors, extra in pairs]
    assert min(singles) - 1e-9 <= low <= high <= max(singles) + 1e-9


def test_the_interval_is_the_same_every_time() -> None:
    core = [WordErrors(i % 3, 10) for i in range(30)]
    variant = [WordErrors(i % 5, 10) for i in range(30)]
    low, high = words.increase_interval(variant, core)
    assert (low, high) == words.increase_interval(variant, core)
    assert low < words.rate(variant) - words.rate(core) < high


def test_no_clips_give_no_interval() -> None:
    assert words.increase_interval([], []) == (0, 0)
