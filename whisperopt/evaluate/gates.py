"""Judges a variant: pure functions from raw samples to numbers, and from numbers to a verdict."""

from collections.abc import Iterable, Iterator

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate import words
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.metrics import Metrics, measure, pairs
from whisperopt.matrix import Gates
from whisperopt.release.report import LanguageErrors

CPU_SHARE = 0.1
"""Most nodes of a GPU's graph that may run on the CPU: arithmetic with shapes belongs there."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a variant may be selected, and every reason against it."""

    accepted: bool
    reason: str
    notes: tuple[str, ...]
    """What the samples cannot tell."""
    metrics: Metrics


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
    told = [p for p in pairs(evidence, answers) if p.clip.spoken and p.clip.text]
    if not told:
        yield "no clip has a transcript: words are only compared with the core model's"
        return
    for language in sorted({pair.clip.language for pair in told}):
        own = [pair for pair in told if pair.clip.language == language]
        errors, core_errors = [p.errors for p in own], [p.core_errors for p in own]
        unit = words.unit(language)
        if note := words.allowance(errors, core_errors, gates.wer_increase, unit=unit):
            yield f"{language}: {note}"
