"""Judges a variant: pure functions from raw samples to numbers, and from numbers to a verdict."""

import math
from collections.abc import Iterable, Iterator

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate import words
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence, Metrics
from whisperopt.evaluate.metrics import by_language, measure, pairs
from whisperopt.matrix import Gates
from whisperopt.reasons import Reason, because
from whisperopt.release.report import LanguageErrors

CPU_SHARE = 0.1
"""Most nodes of a GPU's graph that may run on the CPU: arithmetic with shapes belongs there."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples of one run say: every reason against the variant, and the numbers."""

    reasons: tuple[Reason, ...]
    """Empty: it meets every gate."""
    notes: tuple[str, ...]
    """What the samples cannot tell."""
    metrics: Metrics


def judge(evidence: Evidence, answers: Answers, gates: Gates, *, gpu: bool = False) -> Verdict:
    """Recompute all numbers from `evidence` and compare them with `gates`.

    A `gpu` that was measured must also have run the graph itself: see `CPU_SHARE`.
    """
    metrics = measure(evidence, answers)
    reasons = list(_failures(metrics, gates))
    placement = evidence.placement
    on_cpu, nodes = placement.get("CPUExecutionProvider", 0), sum(placement.values())
    if gpu and evidence.tier is Tier.MEASURED and on_cpu > CPU_SHARE * nodes:
        reasons.append(because("gates.cpu", on_cpu=on_cpu, nodes=nodes))
    return Verdict(
        reasons=tuple(reasons), notes=tuple(_notes(evidence, answers, gates)), metrics=metrics
    )


def hopeless(evidence: Evidence, answers: Answers, gates: Gates) -> bool:
    """Say whether a variant that has not heard all clips fails, whatever the others would give.

    At best it does to them what the core model does. Words alone may be righter than the core's.
    """
    heard = {sample.clip for sample in evidence.samples}
    unheard = [sample for sample in answers.evidence.samples if sample.clip not in heard]
    best = measure(
        msgspec.structs.replace(evidence, samples=[*evidence.samples, *unheard]), answers
    )
    best = msgspec.structs.replace(best, wer_delta=-math.inf, languages=())
    return any(_failures(best, gates))


def _failures(metrics: Metrics, gates: Gates) -> Iterator[Reason]:
    """Yield the reasons from the front to the back of the model, each with where to look."""
    encoder = [
        *_below("cosine", metrics.encoder_cosine, gates.encoder_cosine),
        *_above("relative error", metrics.encoder_relative_error, gates.encoder_relative_error),
    ]
    decoder = [
        *_below("top-1 agreement", metrics.top1_agreement, gates.top1_agreement),
        *_above("KL divergence", metrics.kl_divergence, gates.kl_divergence),
    ]
    words = list(_words(metrics, gates))
    if encoder:
        yield _all("gates.encoder", encoder)
    if decoder:
        yield _all("gates.decoder-alone" if not encoder else "gates.decoder", decoder)
    if words:
        yield _all("gates.words" if encoder or decoder else "gates.steps", words)
    if (found := metrics.batch_agreement) is not None:
        yield from _below("agreement in a batch of two", found, gates.batch_agreement)
    if (found := metrics.max_activation) is not None:
        yield from _above("largest activation", found, gates.max_activation)


def _all(code: str, found: Iterable[Reason]) -> Reason:
    """Put what points at one part of the model into one reason."""
    return because(code, all=", ".join(map(str, found)))


def _words(metrics: Metrics, gates: Gates) -> Iterator[Reason]:
    yield from _below("token match", metrics.token_match, gates.token_match)
    yield from _above("WER increase", metrics.wer_delta, gates.wer_increase)
    yield from _above("WER against the core model", metrics.wer_vs_core, gates.wer_vs_core)
    yield from _below("share of clips no worse", metrics.clips_no_worse, gates.clips_no_worse)
    if len(metrics.languages) > 1:
        yield from _languages(metrics.languages, gates)
    for code in ("empty", "looping", "invented"):
        if count := getattr(metrics, code):
            yield because(f"gates.{code}", "1 clip" if count == 1 else f"{count} clips")


def _languages(languages: Iterable[LanguageErrors], gates: Gates) -> Iterator[Reason]:
    """Name the languages that got worse for certain: few clips each make chance large."""
    for errors in languages:
        low, high = errors.interval
        if low > gates.wer_increase:
            values = {"delta": errors.delta, "low": low, "high": high}
            yield because("gates.language", errors.language, bound=gates.wer_increase, **values)


def _below(name: str, value: float | None, bound: float) -> Iterator[Reason]:
    if value is None or not value >= bound:
        yield because("gates.below", name, shown=_told_apart(value, bound), bound=bound)


def _above(name: str, value: float | None, bound: float) -> Iterator[Reason]:
    if value is None or not value <= bound:
        yield because("gates.above", name, shown=_told_apart(value, bound), bound=bound)


def _told_apart(value: float | None, bound: float) -> str:
    """Return `value` with four digits, or as many as it takes to see that it is not `bound`."""
    if value is None:
        return "unknown"
    texts = (f"{value:.{digits}g}" for digits in range(4, 18))
    return next((text for text in texts if float(text) != bound), f"{value:g}")


def _notes(evidence: Evidence, answers: Answers, gates: Gates) -> Iterator[str]:
    languages = list(by_language(pairs(evidence, answers)))
    if not languages:
        yield "no clip has a transcript: words are only compared with the core model's"
    for language, errors, core_errors in languages:
        unit = words.unit(language)
        if note := words.allowance(errors, core_errors, gates.wer_increase, unit=unit):
            yield f"{language}: {note}"
