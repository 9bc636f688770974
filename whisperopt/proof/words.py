"""Word errors, counted after Whisper's own text normalization."""

import functools
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

_RESAMPLES = 1000


class WordErrors(msgspec.Struct, frozen=True):
    """Edits and reference words of one clip."""

    edits: int
    words: int


def count(reference: str, hypothesis: str, language: str) -> WordErrors:
    """Count substitutions, deletions and insertions of `hypothesis` against `reference`."""
    import jiwer

    normalize = normalizer(language)
    wanted, heard = normalize(reference), normalize(hypothesis)
    words = len(wanted.split())
    if not words:
        return WordErrors(len(heard.split()), 0)
    result = jiwer.process_words(wanted, heard)
    return WordErrors(result.substitutions + result.deletions + result.insertions, words)


@functools.cache
def normalizer(language: str) -> Callable[[str], str]:
    """Return Whisper's normalizer for `language`."""
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    normalize: Callable[[str], str] = (
        EnglishTextNormalizer() if language == "en" else BasicTextNormalizer()
    )
    return normalize


def rate(errors: Sequence[WordErrors]) -> float:
    """Return the word error rate in percent."""
    words = sum(error.words for error in errors)
    return 100.0 * sum(error.edits for error in errors) / words if words else 0.0


def increase_interval(
    variant: Sequence[WordErrors], core: Sequence[WordErrors]
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the increase in word error rate, in percent points.

    Clips are resampled in pairs, so that both are judged on the same draw (Bisani and Ney,
    ICASSP 2004).
    """
    if not variant:
        return 0.0, 0.0
    extra = np.array([v.edits - c.edits for v, c in zip(variant, core, strict=True)], float)
    words = np.array([c.words for c in core], float)
    draws = np.random.default_rng(0).integers(0, len(extra), (_RESAMPLES, len(extra)))
    rates = 100.0 * extra[draws].sum(axis=1) / np.maximum(words[draws].sum(axis=1), 1.0)
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)
