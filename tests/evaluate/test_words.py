"""Errors after Whisper's normalization, and how sure we are of a difference."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperopt.evaluate import words
from whisperopt.evaluate.words import FEW_CLIPS, Errors

ERRORS = st.builds(Errors, st.integers(0, 20), st.integers(1, 20))
PAIRS = st.tuples(ERRORS, st.integers(-5, 5))


def split(pairs: list[tuple[Errors, int]]) -> tuple[list[Errors], list[Errors]]:
    """Return the variant's and the core model's errors: they differ by the second of each pair."""
    core = [errors for errors, _ in pairs]
    return [Errors(errors.edits + extra, errors.units) for errors, extra in pairs], core


def clips(number: int, *extra: int, units: int = 10) -> tuple[list[Errors], list[Errors]]:
    """Return `number` clips with one error each, of which the first have `extra` ones."""
    return split([(Errors(1, units), n) for n in (*extra, *[0] * (number - len(extra)))])


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
    assert words.count("Grüße aus Köln!", "grüße aus köln", "de") == Errors(0, 3)
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
    assert words.count("one two three", heard, "de") == Errors(edits, 3)


def test_without_a_reference_every_word_is_an_insertion() -> None:
    assert words.count("[laughs]", "hello world", "en") == Errors(2, 0)
    assert words.count("", "uno dos", "es") == Errors(2, 0)
    assert words.count("", "你好", "zh") == Errors(2, 0)
    assert words.count("", "", "en") == Errors(0, 0)


@pytest.mark.parametrize(
    ("language", "reference", "heard", "errors"),
    [
        ("zh", "今天天气很好。", "今天 天汽很好", Errors(1, 6)),
        ("ja", "今日はＯＫです", "今日はokです。", Errors(0, 7)),
        ("yue", "你好", "你", Errors(1, 2)),
        ("th", "กำลังมา", "กำลังม", Errors(1, 6)),
        ("km", "ភាសាខ្មែរ", "ភាសាខ្មរ", Errors(1, 4)),
    ],
)
def test_languages_without_spaces_are_counted_by_characters(
    language: str, reference: str, heard: str, errors: Errors
) -> None:
    assert words.unit(language) == "characters"
    assert words.count(reference, heard, language) == errors


@pytest.mark.parametrize("language", ["en", "de", "ko", "vi", "bo", "hi", "ar"])
def test_languages_with_spaces_are_counted_by_words(language: str) -> None:
    assert words.unit(language) == "words"


def test_vowel_marks_belong_to_their_words() -> None:
    assert words.normalized("नमस्ते, दुनिया!", "hi") == "नमस्ते दुनिया"
    assert words.count("नमस्ते दुनिया", "नमस्ते दनिया", "hi") == Errors(1, 2)
    assert words.count("བོད་སྐད་", "བོད་སྐད", "bo") == Errors(0, 2)


def test_traditional_characters_are_no_simplified_ones() -> None:
    assert words.count("漢字", "汉字", "zh") == Errors(1, 2)


@given(st.text(max_size=40), st.sampled_from(["en", "de", "zh", "th", "hi"]))
def test_normalized_text_is_its_units_with_single_spaces(text: str, language: str) -> None:
    normalized = words.normalized(text, language)
    assert normalized == " ".join(normalized.split())
    assert normalized == words.normalized(text, language)
    assert words.count(text, text, language) == Errors(0, len(normalized.split()))


@pytest.mark.parametrize("text", ["", "...", "♪ ♪", "❤️", "[laughs] %", "(um)"])
@pytest.mark.parametrize("language", ["en", "de", "ja", "hi"])
def test_what_is_no_letter_or_digit_is_no_error(text: str, language: str) -> None:
    assert words.normalized(text, language) == ""
    assert words.count("hello", f"Hello {text}", language) == words.count(
        "hello", "hello", language
    )


def test_rates_weigh_clips_by_their_words() -> None:
    assert words.rate([Errors(1, 1), Errors(0, 99)]) == 1
    assert words.rate([]) == 0
    assert words.rate([Errors(3, 0)]) == 0


@given(st.lists(ERRORS, min_size=FEW_CLIPS, max_size=20))
def test_equal_errors_of_many_clips_are_no_increase(errors: list[Errors]) -> None:
    assert words.increase_interval(errors, errors) == (0, 0)


@given(st.lists(PAIRS, min_size=FEW_CLIPS, max_size=20))
def test_the_interval_is_within_what_single_clips_say(pairs: list[tuple[Errors, int]]) -> None:
    low, high = words.increase_interval(*split(pairs))
    singles = [100 * extra / errors.units for errors, extra in pairs]
    assert min(singles) - 1e-9 <= low <= high <= max(singles) + 1e-9


@given(st.lists(PAIRS, min_size=1, max_size=20))
def test_the_interval_holds_what_was_found(pairs: list[tuple[Errors, int]]) -> None:
    variant, core = split(pairs)
    low, high = words.increase_interval(variant, core)
    found = words.rate(variant) - words.rate(core)
    assert low - 1e-9 <= found <= high + 1e-9
    assert high <= words.upper_limit(variant, core)


def test_the_interval_is_the_same_every_time() -> None:
    core = [Errors(i % 3, 10) for i in range(30)]
    variant = [Errors(i % 5, 10) for i in range(30)]
    low, high = words.increase_interval(variant, core)
    assert (low, high) == words.increase_interval(variant, core)
    assert low < words.rate(variant) - words.rate(core) < high


def test_one_clip_says_little_in_either_direction() -> None:
    low, high = words.increase_interval(*clips(1, 1))
    assert low < 0
    assert high > 10
    low, high = words.increase_interval(*clips(1, -1))
    assert low < -10
    assert high > 0


@pytest.mark.parametrize("errors", [[], [Errors(0, 0)], [Errors(2, 0)] * 12])
def test_without_transcripts_nothing_is_known(errors: list[Errors]) -> None:
    assert words.increase_interval(errors, errors) == (0, 0)
    assert math.isinf(words.upper_limit(errors, errors))
    assert words.allowance(errors, errors, 5) == (
        "without a transcript no increase of the error rate can be excluded"
    )


def test_where_no_clip_got_worse_the_rule_of_three_holds() -> None:
    assert words.upper_limit(*clips(100)) == pytest.approx(100 * -math.log(0.025) / 1000, rel=0.01)
    assert words.allowance(*clips(100), 0.5) is None


@pytest.mark.parametrize(
    ("made", "unit", "start", "points"),
    [
        (clips(12), "words", "with 12 clips and 120 words", "3.1"),
        (clips(1), "words", "with 1 clip and 10 words", "36.7"),
        (clips(1, units=1), "words", "with 1 clip and 1 word an", "366.9"),
        (clips(12, 2), "characters", "with 12 clips and 120 characters", "9.3"),
    ],
)
def test_few_clips_are_told_with_what_they_cannot_exclude(
    made: tuple[list[Errors], list[Errors]], unit: words.Unit, start: str, points: str
) -> None:
    note = words.allowance(*made, 0.5, unit=unit)
    assert note is not None
    assert note.startswith(start)
    assert note.endswith(f" an increase of up to {points} points cannot be excluded")


@given(st.lists(PAIRS, min_size=1, max_size=20), st.floats(0, 500))
def test_the_note_appears_just_above_the_bound(
    pairs: list[tuple[Errors, int]], bound: float
) -> None:
    made = split(pairs)
    assert (words.allowance(*made, bound) is None) == (words.upper_limit(*made) <= bound)


@given(st.lists(PAIRS, min_size=1, max_size=12), st.integers(1, 3))
@settings(max_examples=30)
def test_more_of_the_same_clips_exclude_more(pairs: list[tuple[Errors, int]], times: int) -> None:
    """The limit does not rise; the lottery of the draws, and the step at few clips, aside."""
    limit = words.upper_limit(*split(pairs * times * 10))
    assert limit <= words.upper_limit(*split(pairs)) + 1e-9 + 0.2 * abs(limit)


@pytest.mark.parametrize("number", [1, 4, 12, 40])
@pytest.mark.parametrize(("worse", "better"), [(0.02, 0.0), (0.2, 0.0), (0.3, 0.1)])
@pytest.mark.parametrize("size", [1.0, 1.5])
def test_a_true_increase_is_seldom_excluded(
    number: int, worse: float, better: float, size: float
) -> None:
    """`size` is the mean of the errors that a clip adds; the promise is 97.5 %."""
    rng = np.random.default_rng(4)
    core = [Errors(2, 12)] * number
    truth = 100 * (worse - better) * size / 12
    held = 0
    for _ in range(100):
        changes = (rng.random(number) < worse) * rng.geometric(1 / size, number)
        changes = changes - (rng.random(number) < better) * rng.geometric(1 / size, number)
        variant = [Errors(2 + int(n), 12) for n in changes]
        held += words.upper_limit(variant, core) >= truth - 1e-9
    assert held >= 95
