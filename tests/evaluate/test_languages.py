"""Errors by language, and what so few clips cannot tell."""

import msgspec
import pytest

from tests.evaluate.samples import WORDS, answers, changed, clips, evidence, perfect, sample
from tests.evaluate.verdicts import LOOSE, STEPPING, WRONG, judged
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence
from whisperopt.results.variant import told

CORE = evidence()


def heard(*texts: str) -> Evidence:
    """Return evidence of clips with those texts."""
    return evidence(*[sample(f"s{n}.ogg", text=text) for n, text in enumerate(texts)])


def two_languages(english: int, german: int) -> tuple[Evidence, Answers]:
    """Return 40 clips in each language, of which so many have two wrong words."""
    played = [Clip(file=f"e{n}.ogg", text=WORDS) for n in range(40)]
    played += [Clip(file=f"d{n}.ogg", text=WORDS, language="de") for n in range(40)]
    wrong = {f"e{n}.ogg" for n in range(english)} | {f"d{n}.ogg" for n in range(german)}
    twice = WRONG.replace("fox", "box")
    made = [sample(c.file, text=twice if c.file in wrong else WORDS) for c in played]
    return evidence(*made), answers(evidence(*[sample(c.file) for c in played]), *played)


def test_a_language_that_got_worse_for_certain_is_refused_where_all_together_pass() -> None:
    bounds = msgspec.structs.replace(LOOSE, wer_increase=4)
    verdict = judged(*two_languages(english=0, german=15), bounds=bounds)
    german, english = verdict.metrics.languages
    assert (german.delta, english.delta) == (pytest.approx(7.5), 0)
    assert verdict.metrics.wer_delta < 4 < german.interval[0]
    assert told(verdict.reasons) == STEPPING + "de +7.50 points (95 %: +4.50 to +10.50), above 4"


def test_a_language_that_may_have_got_worse_by_chance_is_not_refused() -> None:
    bounds = msgspec.structs.replace(LOOSE, wer_increase=4)
    verdict = judged(*two_languages(english=0, german=11), bounds=bounds)
    german, _ = verdict.metrics.languages
    assert german.delta > 4 > german.interval[0]
    assert told(verdict.reasons) == ""


def test_languages_without_spaces_are_counted_in_characters() -> None:
    played = clips(2, text="你好世界", language="zh")
    core = heard("你好世界", "你好世界")
    metrics = judged(heard("你好世界", "你好世间"), answers(core, *played)).metrics
    (chinese,) = metrics.languages
    assert (chinese.language, chinese.unit, chinese.units) == ("zh", "characters", 8)
    assert chinese.delta == metrics.wer_delta == pytest.approx(12.5)


def test_few_clips_give_a_note_with_numbers_and_many_give_none() -> None:
    assert judged(CORE).notes == (
        "en: with 4 clips and 40 words an increase of up to 9.2 points cannot be excluded",
    )
    many = evidence(*perfect(100))
    assert judged(many, answers(many, *clips(100))).notes == ()


def test_each_language_has_a_note_of_its_own() -> None:
    played = (*clips(2), *(Clip(file=f"s{n}.ogg", text=WORDS, language="de") for n in (2, 3)))
    german, english = judged(CORE, answers(CORE, *played)).notes
    assert german.startswith("de: with 2 clips and 20 words")
    assert english.startswith("en: with 2 clips and 20 words")


def test_clips_without_a_transcript_give_a_note() -> None:
    played = tuple(Clip(file=f"s{n}.ogg") for n in range(4))
    verdict = judged(changed(CORE, 0, text=WRONG), answers(CORE, *played))
    assert verdict.notes == (
        "no clip has a transcript: words are only compared with the core model's",
    )
    metrics = verdict.metrics
    assert metrics.wer == metrics.wer_delta == 0
    assert metrics.wer_delta_interval == (0, 0)
    assert metrics.languages == ()
    assert metrics.wer_vs_core == pytest.approx(2.5)
