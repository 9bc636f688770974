"""Adds up what the samples of one run say, beside what the core model made of the same clips."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np

from whisperopt.evaluate import words
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence, Metrics, Sample
from whisperopt.evaluate.times import times
from whisperopt.evaluate.words import Errors
from whisperopt.release.report import LanguageErrors
from whisperopt.runtime.greedy import loops

_NS_PER_MS = 1e6


class Pair(msgspec.Struct, frozen=True):
    """What a variant and the core model made of one clip."""

    clip: Clip
    own: Sample
    core: Sample

    @property
    def errors(self) -> Errors:
        """The variant's errors against the transcript."""
        return words.count(self.clip.text, self.own.text, self.clip.language)

    @property
    def core_errors(self) -> Errors:
        """The core model's errors against the transcript."""
        return words.count(self.clip.text, self.core.text, self.clip.language)


def measure(evidence: Evidence, answers: Answers) -> Metrics:
    """Turn the raw samples of `evidence` into numbers, against the core model's on the same clips."""
    both = pairs(evidence, answers)
    spoken = [pair for pair in both if pair.clip.spoken]
    told = [pair for pair in spoken if pair.clip.text]
    errors, core_errors = [p.errors for p in told], [p.core_errors for p in told]
    versus = [words.count(p.core.text, p.own.text, p.clip.language) for p in spoken]
    positions = max(1, sum(p.own.positions for p in both))
    alone = statistics.median(p.own.total_ns / _NS_PER_MS for p in spoken)  # raises without
    race = times(evidence.race) if evidence.race else None
    return Metrics(
        wer=words.rate(errors),
        wer_delta=words.rate(errors) - words.rate(core_errors),
        wer_delta_interval=words.increase_interval(errors, core_errors),
        wer_vs_core=words.rate(versus),
        languages=tuple(_language_errors(both)),
        token_match=_share(p.own.tokens == p.core.tokens for p in spoken),
        clips_no_worse=_share(
            e.edits <= c.edits for e, c in zip(errors, core_errors, strict=True)
        ),
        # NumPy, because Python's own min and max lose a NaN
        encoder_cosine=float(np.min(_known(p.own.cosine for p in both))),
        encoder_relative_error=float(np.max(_known(p.own.relative_error for p in both))),
        top1_agreement=sum(p.own.agreements for p in both) / positions,
        kl_divergence=sum(p.own.kl_sum for p in both) / positions,
        batch_agreement=evidence.batch_agreement,
        max_activation=evidence.activations.value if evidence.activations else None,
        empty=sum(not p.own.text and bool(p.core.text) for p in spoken),
        looping=sum(loops(p.own.tokens) and not loops(p.core.tokens) for p in both),
        invented=sum(_says(p.own, p.clip) and not _says(p.core, p.clip) for p in both),
        rtfx=race.rtfx if race else _rtfx(spoken),
        throughput=race.throughput if race else None,
        throughput_interval=race.throughput_interval if race else None,
        throughput_paired=race.throughput_paired if race else None,
        latency_ms_p50=race.latency_ms if race else alone,
        latency_ms_interval=race.latency_interval if race else None,
        latency_ms_paired=race.latency_paired if race else None,
        peak_rss_mb=(evidence.race or evidence).peak_rss_bytes / 2**20,
    )


def pairs(evidence: Evidence, answers: Answers) -> list[Pair]:
    """Return what both made of each clip that both have heard, in the order of the clip set."""
    cores = {s.clip: s for s in answers.evidence.samples if not s.warm_up}
    samples = {s.clip: s for s in evidence.samples if not s.warm_up}
    return [
        Pair(clip, samples[clip.file], cores[clip.file])
        for clip in answers.clips
        if clip.file in samples and clip.file in cores
    ]


def by_language(pairs: Iterable[Pair]) -> Iterator[tuple[str, list[Errors], list[Errors]]]:
    """Yield each language with both models' errors on the clips that have a transcript in it."""
    told = [pair for pair in pairs if pair.clip.spoken and pair.clip.text]
    for language in sorted({pair.clip.language for pair in told}):
        own = [pair for pair in told if pair.clip.language == language]
        yield language, [pair.errors for pair in own], [pair.core_errors for pair in own]


def _language_errors(pairs: Iterable[Pair]) -> Iterator[LanguageErrors]:
    for language, errors, core_errors in by_language(pairs):
        yield LanguageErrors(
            language=language,
            unit=words.unit(language),
            clips=len(errors),
            units=sum(error.units for error in errors),
            rate=words.rate(errors),
            delta=words.rate(errors) - words.rate(core_errors),
            interval=words.increase_interval(errors, core_errors),
        )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None] or [math.nan]


def _says(sample: Sample, clip: Clip) -> bool:
    """Say whether something was heard where nobody speaks; punctuation alone is nothing."""
    return not clip.spoken and words.count("", sample.text, clip.language).edits > 0


def _share(found: Iterable[bool]) -> float:
    every = list(found)
    return statistics.fmean(every) if every else 1.0


def _rtfx(spoken: Sequence[Pair]) -> float:
    seconds = sum(pair.own.seconds for pair in spoken)
    return seconds * 1e9 / max(1, sum(pair.own.total_ns for pair in spoken))
