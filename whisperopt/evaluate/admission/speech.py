"""What was understood: tokens, their text and its errors must follow from each other."""

from collections.abc import Iterator

from whisperopt.evaluate import words
from whisperopt.evaluate.admission.submission import Check, Objection, Submission
from whisperopt.evaluate.evidence import Sample
from whisperopt.reasons import quoted

MAX_TOKENS = 1024
"""For one clip; Whisper's own models write at most 224."""


def _unknown_tokens(case: Submission) -> Objection | None:
    for place, sample in case.samples:
        if len(sample.tokens) > MAX_TOKENS:
            return Objection(f"{place}.tokens has {len(sample.tokens):,}, more than {MAX_TOKENS}")
        largest = max(sample.tokens, default=0)
        if largest >= case.vocabulary:
            return Objection(
                f"{place}.tokens has {largest}, but the vocabulary ends before {case.vocabulary}"
            )
    return None


def _odd_words(case: Submission) -> Objection | None:
    for place, sample in case.samples:
        if problem := next(_problems(case, sample), None):
            return Objection(f"{place}.{problem}")
    return None


def _problems(case: Submission, sample: Sample) -> Iterator[str]:
    text = case.tokenizer(sample.tokens)
    if text != sample.text:
        yield f"text is {quoted(sample.text)}, but its tokens say {quoted(text)}"
        return
    clip = case.clips[sample.clip]
    try:
        errors = words.count(clip.text, text, clip.language)
    except (AssertionError, ValueError):  # the normalizer's, at thousands of digits in a row
        yield f"text is {quoted(text)}, in which errors cannot be counted"
        return
    edits, units = (errors.edits, errors.units) if clip.text else (0, 0)
    if (sample.edits, sample.units) != (edits, units):
        yield (
            f"edits and units are {sample.edits} and {sample.units}, but the text has {edits}"
            f" errors in {units}"
        )


CHECKS: tuple[Check, ...] = (_unknown_tokens, _odd_words)
