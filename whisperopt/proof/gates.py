"""Judges a variant: pure functions from raw samples to numbers, and from numbers to a verdict."""

import statistics
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np

from whisperopt.backend import Tier
from whisperopt.matrix import Gates
from whisperopt.proof import words
from whisperopt.proof.answers import Answers
from whisperopt.proof.clips import Clip
from whisperopt.proof.evidence import Evidence, Sample
from whisperopt.proof.times import times
from whisperopt.proof.words import Errors
from whisperopt.release.report import LanguageErrors

CPU_SHARE = 0.1
"""Most nodes of a GPU's graph that may run on the CPU: arithmetic with shapes belongs there."""
_NS_PER_MS = 1e6


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples of one run add up to; rates in percent, increases in percent points.

    Latency and throughput are those of the race, where there was one: see `proof.times`.
    """

    wer: float
    wer_delta: float
    wer_delta_interval: tuple[float, float]
    wer_vs_core: float
    languages: tuple[LanguageErrors, ...]
    token_match: float
    clips_no_worse: float
    encoder_cosine: float
    encoder_relative_error: float
    top1_agreement: float
    kl_divergence: float
    batch_agreement: float | None
    max_activation: float | None
    empty: int
    looping: int
    invented: int
    """Clips of noise or silence with a text that the core model does not have."""
    rtfx: float
    throughput: float | None
    throughput_interval: tuple[float, float] | None
    latency_ms_p50: float
    latency_ms_interval: tuple[float, float] | None
    latency_ms_p95: float
    load_ms: float
    peak_rss_mb: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a variant may be selected, and every reason against it."""

    accepted: bool
    reason: str
    notes: tuple[str, ...]
    """What the samples cannot tell."""
    metrics: Metrics


class _Pair(msgspec.Struct, frozen=True):
    """What a variant and the core model made of one clip."""

    clip: Clip
    own: Sample
    core: Sample

    @property
    def errors(self) -> Errors:
        return words.count(self.clip.text, self.own.text, self.clip.language)

    @property
    def core_errors(self) -> Errors:
        return words.count(self.clip.text, self.core.text, self.clip.language)


def judge(evidence: Evidence, answers: Answers, gates: Gates, *, gpu: bool = False) -> Verdict:
    """Recompute all numbers from `evidence` and compare them with `gates`.

    A `gpu` that was measured must also have run the graph itself: see `CPU_SHARE`.
    """
    metrics = measure(evidence, answers)
    reasons = list(_failures(metrics, gates))
    if gpu and evidence.tier is Tier.MEASURED:
        reasons += _fallen_back(evidence.placement)
    return Verdict(
        accepted=not reasons,
        reason="; ".join(reasons),
        notes=tuple(_notes(evidence, answers, gates)),
        metrics=metrics,
    )


def measure(evidence: Evidence, answers: Answers) -> Metrics:
    """Turn the raw samples of `evidence` into numbers, against the core model's on the same clips."""
    pairs = _pairs(evidence, answers)
    spoken = [pair for pair in pairs if pair.clip.spoken]
    told = [pair for pair in spoken if pair.clip.text]
    errors, core_errors = [p.errors for p in told], [p.core_errors for p in told]
    versus = [words.count(p.core.text, p.own.text, p.clip.language) for p in spoken]
    positions = max(1, sum(p.own.positions for p in pairs))
    milliseconds = [p.own.total_ns / _NS_PER_MS for p in spoken]
    race = times(evidence.race) if evidence.race else None
    return Metrics(
        wer=words.rate(errors),
        wer_delta=words.rate(errors) - words.rate(core_errors),
        wer_delta_interval=words.increase_interval(errors, core_errors),
        wer_vs_core=words.rate(versus),
        languages=tuple(_by_language(told)),
        token_match=_share(p.own.tokens == p.core.tokens for p in spoken),
        clips_no_worse=_share(
            e.edits <= c.edits for e, c in zip(errors, core_errors, strict=True)
        ),
        # NumPy, because Python's own min and max lose a NaN
        encoder_cosine=float(np.min([p.own.cosine for p in pairs])),
        encoder_relative_error=float(np.max([p.own.relative_error for p in pairs])),
        top1_agreement=sum(p.own.agreements for p in pairs) / positions,
        kl_divergence=sum(p.own.kl_sum for p in pairs) / positions,
        batch_agreement=evidence.batch_agreement,
        max_activation=evidence.activations.value if evidence.activations else None,
        empty=sum(not p.own.text and bool(p.core.text) for p in spoken),
        looping=sum(loops(p.own) and not loops(p.core) for p in pairs),
        invented=sum(_says(p.own, p.clip) and not _says(p.core, p.clip) for p in pairs),
        rtfx=race.rtfx if race else _rtfx(spoken),
        throughput=race.throughput if race else None,
        throughput_interval=race.throughput_interval if race else None,
        latency_ms_p50=race.latency_ms if race else statistics.median(milliseconds),
        latency_ms_interval=race.latency_interval if race else None,
        latency_ms_p95=_p95(milliseconds),
        load_ms=(evidence.race or evidence).load_ns / _NS_PER_MS,
        peak_rss_mb=(evidence.race or evidence).peak_rss_bytes / 2**20,
    )


def loops(sample: Sample) -> bool:
    """Say whether the text ends in one to eight tokens repeated at least eight times."""
    tokens = sample.tokens
    return any(
        len(tokens) >= 8 * period and tokens[-7 * period :] == tokens[-8 * period : -period]
        for period in range(1, 9)
    )


def _pairs(evidence: Evidence, answers: Answers) -> list[_Pair]:
    cores = {s.clip: s for s in answers.evidence.samples if not s.warm_up}
    samples = {s.clip: s for s in evidence.samples if not s.warm_up}
    return [
        _Pair(clip, samples[clip.file], cores[clip.file])
        for clip in answers.clips
        if clip.file in samples and clip.file in cores
    ]


def _by_language(told: Sequence[_Pair]) -> Iterator[LanguageErrors]:
    for language in sorted({pair.clip.language for pair in told}):
        own = [pair for pair in told if pair.clip.language == language]
        errors, core_errors = [p.errors for p in own], [p.core_errors for p in own]
        yield LanguageErrors(
            language=language,
            unit=words.unit(language),
            clips=len(own),
            units=sum(one.units for one in errors),
            rate=words.rate(errors),
            delta=words.rate(errors) - words.rate(core_errors),
            interval=words.increase_interval(errors, core_errors),
        )


def _says(sample: Sample, clip: Clip) -> bool:
    """Say whether something was heard where nobody speaks; punctuation alone is nothing."""
    return not clip.spoken and words.count("", sample.text, clip.language).edits > 0


def _share(found: Iterable[bool]) -> float:
    every = list(found)
    return statistics.fmean(every) if every else 1.0


def _rtfx(spoken: Sequence[_Pair]) -> float:
    seconds = sum(pair.own.seconds for pair in spoken)
    return seconds * 1e9 / max(1, sum(pair.own.total_ns for pair in spoken))


def _p95(milliseconds: Sequence[float]) -> float:
    if len(milliseconds) < 2:
        return milliseconds[0]
    return statistics.quantiles(milliseconds, n=20)[-1]


def _fallen_back(placement: dict[str, int]) -> Iterator[str]:
    on_cpu, nodes = placement.get("CPUExecutionProvider", 0), sum(placement.values())
    if on_cpu > CPU_SHARE * nodes:
        yield f"{on_cpu} of {nodes} nodes ran on the CPU"


def _failures(metrics: Metrics, gates: Gates) -> Iterator[str]:
    """Yield the reasons from the front to the back of the model, each with where to look."""
    encoder = [
        *_below("cosine", metrics.encoder_cosine, gates.encoder_cosine),
        *_above("relative error", metrics.encoder_relative_error, gates.encoder_relative_error),
    ]
    decoder = [
        *_below("top-1 agreement", metrics.top1_agreement, gates.top1_agreement),
        *_above("KL divergence", metrics.kl_divergence, gates.kl_divergence),
    ]
    greedy = list(_greedy(metrics, gates))
    if encoder:
        yield f"encoder: {', '.join(encoder)}"
    if decoder:
        yield f"decoder{'' if encoder else ' (the encoder agrees)'}: {', '.join(decoder)}"
    if greedy and not encoder and not decoder:
        yield (
            "encoder and decoder agree where the words are given: look at what differs in single"
            f" steps (cache, positions) and at the suppressed tokens: {', '.join(greedy)}"
        )
    elif greedy:
        yield f"words: {', '.join(greedy)}"
    yield from _below(
        "agreement in a batch of two", metrics.batch_agreement, gates.batch_agreement
    )
    yield from _above("largest activation", metrics.max_activation, gates.max_activation)


def _greedy(metrics: Metrics, gates: Gates) -> Iterator[str]:
    yield from _below("token match", metrics.token_match, gates.token_match)
    yield from _above("WER increase", metrics.wer_delta, gates.wer_increase)
    yield from _above("WER against the core model", metrics.wer_vs_core, gates.wer_vs_core)
    yield from _below("share of clips no worse", metrics.clips_no_worse, gates.clips_no_worse)
    if len(metrics.languages) > 1:
        yield from _languages(metrics.languages, gates)
    if metrics.empty:
        yield f"{_clips(metrics.empty)} with speech gave no text"
    if metrics.looping:
        yield f"{_clips(metrics.looping)} ended in a loop"
    if metrics.invented:
        yield f"{_clips(metrics.invented)} of noise or silence gave a text"


def _languages(languages: Iterable[LanguageErrors], gates: Gates) -> Iterator[str]:
    """Name the languages that got worse for certain: few clips each make chance large."""
    for one in languages:
        if one.interval[0] > gates.wer_increase:
            low, high = one.interval
            yield (
                f"{one.language} {one.delta:+.2f} points (95 %: {low:+.2f} to {high:+.2f}),"
                f" above {gates.wer_increase:g}"
            )


def _clips(number: int) -> str:
    return "1 clip" if number == 1 else f"{number} clips"


def _below(name: str, value: float | None, bound: float) -> Iterator[str]:
    if value is not None and not value >= bound:
        yield f"{name} {_told_apart(value, bound)} is below {bound:g}"


def _above(name: str, value: float | None, bound: float) -> Iterator[str]:
    if value is not None and not value <= bound:
        yield f"{name} {_told_apart(value, bound)} is above {bound:g}"


def _told_apart(value: float, bound: float) -> str:
    """Return `value` with four digits, or as many as it takes to see that it is not `bound`."""
    texts = (f"{value:.{digits}g}" for digits in range(4, 18))
    return next((text for text in texts if float(text) != bound), f"{value:g}")


def _notes(evidence: Evidence, answers: Answers, gates: Gates) -> Iterator[str]:
    told = [p for p in _pairs(evidence, answers) if p.clip.spoken and p.clip.text]
    if not told:
        yield "no clip has a transcript: words are only compared with the core model's"
        return
    for language in sorted({pair.clip.language for pair in told}):
        own = [pair for pair in told if pair.clip.language == language]
        errors, core_errors = [p.errors for p in own], [p.core_errors for p in own]
        unit = words.unit(language)
        if note := words.allowance(errors, core_errors, gates.wer_increase, unit=unit):
            yield f"{language}: {note}"
