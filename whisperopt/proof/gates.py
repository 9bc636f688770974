"""Judges a variant: pure functions from raw samples to numbers, and from numbers to a verdict."""

import statistics
from collections.abc import Iterator

import msgspec
import numpy as np

from whisperopt.backend import Tier
from whisperopt.matrix import Gates
from whisperopt.proof import words
from whisperopt.proof.clips import ClipSet
from whisperopt.proof.evidence import Evidence, Sample

CPU_SHARE = 0.1
"""Most nodes of a GPU's graph that may run on the CPU: arithmetic with shapes belongs there."""
_NS_PER_MS = 1e6


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples of one run add up to; rates in percent, increases in percent points."""

    wer: float
    wer_delta: float
    wer_delta_interval: tuple[float, float]
    wer_vs_core: float
    token_match: float
    encoder_cosine: float
    encoder_relative_error: float
    top1_agreement: float
    kl_divergence: float
    batch_agreement: float | None
    max_activation: float | None
    empty: int
    looping: int
    rtfx: float
    latency_ms_p50: float
    latency_ms_p95: float
    load_ms: float
    peak_rss_mb: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a variant may be selected, and every reason against it."""

    accepted: bool
    reason: str
    metrics: Metrics


def judge(
    evidence: Evidence, core: Evidence, clip_set: ClipSet, gates: Gates, *, gpu: bool = False
) -> Verdict:
    """Recompute all numbers from `evidence` and compare them with `gates`.

    A `gpu` that was measured must also have run the graph itself: see `CPU_SHARE`.
    """
    metrics = measure(evidence, core, clip_set)
    reasons = list(_failures(metrics, gates))
    if gpu and evidence.tier is Tier.MEASURED:
        reasons += _fallen_back(evidence.placement)
    return Verdict(accepted=not reasons, reason="; ".join(reasons), metrics=metrics)


def measure(evidence: Evidence, core: Evidence, clip_set: ClipSet) -> Metrics:
    """Turn the raw samples of `evidence` into numbers, against the core model's on the same clips."""
    samples = {s.clip: s for s in evidence.samples if not s.warm_up}
    cores = {s.clip: s for s in core.samples if not s.warm_up}
    spoken = [clip for clip in clip_set.clips if clip.spoken and clip.file in samples]
    told = [clip for clip in spoken if clip.text]
    errors = [words.count(c.text, samples[c.file].text, c.language) for c in told]
    core_errors = [words.count(c.text, cores[c.file].text, c.language) for c in told]
    versus = [words.count(cores[c.file].text, samples[c.file].text, c.language) for c in spoken]
    heard = [samples[clip.file] for clip in spoken]
    positions = sum(s.positions for s in samples.values())
    times = [s.total_ns / _NS_PER_MS for s in heard]
    return Metrics(
        wer=words.rate(errors),
        wer_delta=words.rate(errors) - words.rate(core_errors),
        wer_delta_interval=words.increase_interval(errors, core_errors),
        wer_vs_core=words.rate(versus),
        token_match=statistics.fmean(s.tokens == cores[s.clip].tokens for s in heard),
        # NumPy, because Python's own min and max lose a NaN
        encoder_cosine=float(np.min([s.cosine for s in samples.values()])),
        encoder_relative_error=float(np.max([s.relative_error for s in samples.values()])),
        top1_agreement=sum(s.agreements for s in samples.values()) / positions,
        kl_divergence=sum(s.kl_sum for s in samples.values()) / positions,
        batch_agreement=evidence.batch_agreement,
        max_activation=evidence.activations.value if evidence.activations else None,
        empty=sum(not s.text and bool(cores[s.clip].text) for s in heard),
        looping=sum(loops(s) and not loops(cores[s.clip]) for s in samples.values()),
        rtfx=sum(s.seconds for s in heard) / (sum(times) / 1000),
        latency_ms_p50=statistics.median(times),
        latency_ms_p95=statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0],
        load_ms=evidence.load_ns / _NS_PER_MS,
        peak_rss_mb=evidence.peak_rss_bytes / 2**20,
    )


def loops(sample: Sample) -> bool:
    """Say whether the text ends in one to eight tokens repeated at least eight times."""
    tokens = sample.tokens
    return any(
        len(tokens) >= 8 * period and tokens[-7 * period :] == tokens[-8 * period : -period]
        for period in range(1, 9)
    )


def _fallen_back(placement: dict[str, int]) -> Iterator[str]:
    on_cpu, nodes = placement.get("CPUExecutionProvider", 0), sum(placement.values())
    if on_cpu > CPU_SHARE * nodes:
        yield f"{on_cpu} of {nodes} nodes ran on the CPU"


def _failures(metrics: Metrics, gates: Gates) -> Iterator[str]:
    least = (
        ("encoder cosine", metrics.encoder_cosine, gates.encoder_cosine),
        ("top-1 agreement", metrics.top1_agreement, gates.top1_agreement),
        ("token match", metrics.token_match, gates.token_match),
        ("agreement in a batch of two", metrics.batch_agreement, gates.batch_agreement),
    )
    most = (
        ("KL divergence", metrics.kl_divergence, gates.kl_divergence),
        ("WER increase", metrics.wer_delta, gates.wer_increase),
        ("WER against the core model", metrics.wer_vs_core, gates.wer_vs_core),
        ("largest activation", metrics.max_activation, gates.max_activation),
    )
    for name, value, bound in least:
        if value is not None and not value >= bound:
            yield f"{name} {value:.4g} is below {bound:g}"
    for name, value, bound in most:
        if value is not None and not value <= bound:
            yield f"{name} {value:.4g} is above {bound:g}"
    if metrics.empty:
        yield f"{metrics.empty} clips with speech gave no text"
    if metrics.looping:
        yield f"{metrics.looping} clips ended in a loop"
