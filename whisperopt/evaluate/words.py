"""Errors in words or characters, counted after Whisper's own text normalization."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt.whisper import UNSPACED

Unit = Literal["words", "characters"]

FEW_CLIPS = 10
"""With fewer, drawing them again says next to nothing: what could differ is not among them."""

_INDIC = frozenset(
    ("hi", "mr", "ne", "sa", "bn", "as", "pa", "gu", "ta", "te", "kn", "ml", "si", "bo")
)
_VOWEL_MARKS = _INDIC | UNSPACED - {"zh", "yue", "ja"}
_RESAMPLES = 1000
_QUANTILE = 1.959964
"""Of the normal distribution, at 97.5 %."""
_CACHED = 2**14

_Floats = npt.NDArray[np.float64]


class Errors(msgspec.Struct, frozen=True):
    """Edits and reference units, words or characters, of one clip."""

    edits: int
    units: int


def unit(language: str) -> Unit:
    """Return what errors are counted in: characters where a language writes no spaces.

    Where these part phrases, one wrong letter would make half a sentence wrong.
    """
    return "characters" if language in UNSPACED else "words"


def count(reference: str, hypothesis: str, language: str) -> Errors:
    """Count substitutions, deletions and insertions of `hypothesis` against `reference`."""
    return _counted(normalized(reference, language), normalized(hypothesis, language))


@functools.lru_cache(_CACHED)
def normalized(text: str, language: str) -> str:
    """Return `text` as it is compared: its units, words or characters, with a space between them.

    Units without a letter or digit go: Whisper's normalizer leaves a dot of an ellipsis at the end.
    """
    units = _normalizer(language)(text).split()
    return " ".join(one for one in units if any(map(str.isalnum, one)))


@functools.cache
def _normalizer(language: str) -> Callable[[str], str]:
    """Return Whisper's normalizer for `language`; it parts characters where these are counted.

    Where vowels are written as marks, they stay: by default Whisper's evaluation drops them, which
    cuts words to pieces and hides every wrong vowel.
    """
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    made: Callable[[str], str] = (
        EnglishTextNormalizer()
        if language == "en"
        else BasicTextNormalizer(
            split_letters=language in UNSPACED, preserve_marks=language in _VOWEL_MARKS
        )
    )
    return made


@functools.lru_cache(_CACHED)
def _counted(wanted: str, heard: str) -> Errors:
    import jiwer

    units = len(wanted.split())
    if not units:
        return Errors(len(heard.split()), 0)
    result = jiwer.process_words(wanted, heard)
    return Errors(result.substitutions + result.deletions + result.insertions, units)


def rate(errors: Sequence[Errors]) -> float:
    """Return the error rate in percent."""
    units = sum(error.units for error in errors)
    return 100.0 * sum(error.edits for error in errors) / units if units else 0.0


def increase_interval(variant: Sequence[Errors], core: Sequence[Errors]) -> tuple[float, float]:
    """Return the 95 % interval of the increase in error rate, in percent points.

    Clips are resampled in pairs, so that both are judged on the same draw (Bisani and Ney,
    ICASSP 2004). Fewer than `FEW_CLIPS` resemble one another by chance, one clip even always: then
    the interval also covers what `upper_limit` allows, in both directions.
    """
    units, extra = _paired(variant, core)
    if not units.sum():
        return 0.0, 0.0
    draws = np.random.default_rng(0).integers(0, len(extra), (_RESAMPLES, len(extra)))
    rates = 100.0 * extra[draws].sum(axis=1) / np.maximum(units[draws].sum(axis=1), 1.0)
    low, high = np.percentile(rates, [2.5, 97.5])
    found = [low, high, 100.0 * extra.sum() / units.sum()]
    if len(extra) < FEW_CLIPS:
        found += [sign * 100.0 * _most(sign * extra) / units.sum() for sign in (-1.0, 1.0)]
    return float(min(found)), float(max(found))


def upper_limit(variant: Sequence[Errors], core: Sequence[Errors]) -> float:
    """Return the largest increase, in percent points, that the clips do not exclude (97.5 %).

    Clips with more errors than the core model's, and clips with fewer, come as chance has it: each
    clip adds its difference to a sum of weighted Poisson counts, whose limits are Fay and Feuer's
    (Statistics in Medicine 16, 1997), put together by Zou and Donner's rule for differences (ibid.
    27, 2008). Where no clip got worse that is the rule of three (Hanley and Lippman-Hand, JAMA
    249, 1983) at 97.5 %: 3.7 errors. It supposes that a clip not seen adds no more errors than the
    worst that was, at least one; whole clips gone wrong are what other gates look for. The upper
    end of the resampled interval counts where that is higher. Infinite without a transcript.
    """
    units, extra = _paired(variant, core)
    if not units.sum():
        return math.inf
    return max(100.0 * _most(extra) / float(units.sum()), increase_interval(variant, core)[1])


def allowance(
    variant: Sequence[Errors], core: Sequence[Errors], bound: float, *, unit: Unit = "words"
) -> str | None:
    """Return what cannot be excluded where clips are too few to exclude more than `bound` points."""
    most = upper_limit(variant, core)
    if most <= bound:
        return None
    if math.isinf(most):
        return "without a transcript no increase of the error rate can be excluded"
    units = sum(error.units for error in core)
    clips = "1 clip" if len(core) == 1 else f"{len(core)} clips"
    named = unit.removesuffix("s") if units == 1 else unit
    points = math.ceil(10 * most) / 10
    return (
        f"with {clips} and {units} {named} an increase of up to {points} points cannot be excluded"
    )


def _paired(variant: Sequence[Errors], core: Sequence[Errors]) -> tuple[_Floats, _Floats]:
    """Return the units of each clip, and its errors above the core model's."""
    extra = [v.edits - c.edits for v, c in zip(variant, core, strict=True)]
    return np.array([error.units for error in core], float), np.array(extra, float)


def _most(extra: _Floats) -> float:
    """Return the largest true sum of `extra` that the clips allow (97.5 %)."""
    worse, better = extra[extra > 0], -extra[extra < 0]
    lost, won = float(worse.sum()), float(better.sum())
    largest = max(1.0, float(worse.max(initial=0.0)))
    above = _limit(lost + largest, float((worse**2).sum()) + largest**2, _QUANTILE)
    below = _limit(won, float((better**2).sum()), -_QUANTILE)
    return lost - won + math.hypot(above - lost, won - below)


def _limit(total: float, squares: float, quantile: float) -> float:
    """Return a quantile of the gamma distribution with mean `total` and variance `squares`.

    By Wilson and Hilferty's cube (1931), which is within 1 % of the truth for upper limits.
    """
    if not total:
        return 0.0
    spread = squares / (9.0 * total**2)
    return total * max(0.0, 1.0 - spread + quantile * math.sqrt(spread)) ** 3
