"""Verdicts: every gate has its reason, and numbers follow from raw samples alone."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.proof.samples import GATES, WORDS, changed, clip_set, evidence, sample
from whisperopt.proof import gates
from whisperopt.proof.clips import Clip
from whisperopt.proof.evidence import Evidence

CORE = evidence()


def judged(made: Evidence, core: Evidence = CORE) -> gates.Verdict:
    return gates.judge(made, core, clip_set(), GATES)


def test_the_core_model_itself_passes() -> None:
    verdict = judged(CORE)
    assert verdict.accepted
    assert verdict.reason == ""


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (changed(CORE, 1, cosine=0.9), "encoder cosine 0.9 is below 0.995"),
        (changed(CORE, 1, cosine=math.nan), "encoder cosine nan is below 0.995"),
        (changed(CORE, 2, agreements=8), "top-1 agreement 0.95 is below 0.98"),
        (changed(CORE, 2, kl_sum=2.0), "KL divergence 0.05 is above 0.02"),
        (changed(CORE, 2, kl_sum=math.nan), "KL divergence nan is above 0.02"),
        (evidence(batch_agreement=0.5), "agreement in a batch of two 0.5 is below 0.95"),
        (evidence(activation=65000.0), "largest activation 6.5e+04 is above 60000"),
        (changed(CORE, 3, text=WORDS + " too"), "WER increase 2.5 is above 0.5"),
        (changed(CORE, 3, text=WORDS + " too"), "WER against the core model 2.5 is above 2"),
        (changed(CORE, 3, text=""), "1 clips with speech gave no text"),
        (changed(CORE, 0, tokens=[7] * 8), "1 clips ended in a loop"),
        (
            evidence(*[sample(f"s{i}.ogg", tokens=[i]) for i in range(4)]),
            "token match 0 is below 0.5",
        ),
    ],
)
def test_every_gate_gives_its_reason(made: Evidence, reason: str) -> None:
    verdict = judged(made)
    assert not verdict.accepted
    assert reason in verdict.reason.split("; ")


def test_all_reasons_are_given_at_once() -> None:
    made = changed(changed(CORE, 0, cosine=0.5), 1, kl_sum=9.0)
    assert len(judged(made).reason.split("; ")) == 2


def test_what_was_not_tried_is_not_judged() -> None:
    assert judged(evidence(batch_agreement=None, activation=None)).accepted


def test_bounds_themselves_are_allowed() -> None:
    assert judged(evidence(batch_agreement=0.95, activation=60000.0)).accepted


def test_a_loop_that_the_core_model_has_too_is_no_fault() -> None:
    looping = changed(CORE, 0, tokens=[7] * 8)
    assert judged(looping, core=looping).accepted


def test_silence_of_the_core_model_is_no_fault() -> None:
    silent = changed(CORE, 0, text="")
    assert judged(silent, core=silent).metrics.empty == 0


def test_fewer_errors_than_the_core_model_pass() -> None:
    core = changed(CORE, 0, text=WORDS + " and more and more")
    made = gates.measure(CORE, core, clip_set())
    assert made.wer == 0
    assert made.wer_delta == pytest.approx(-10)


def test_emulated_samples_of_a_part_of_the_clips_are_compared_with_that_part() -> None:
    core = changed(changed(CORE, 0, total_ns=1), 1, text="nothing that was said")
    thinned = evidence(CORE.samples[0], CORE.samples[2])
    verdict = judged(thinned, core=core)
    assert verdict.accepted
    assert verdict.metrics.wer_delta == 0
    assert verdict.metrics.token_match == 1


def test_warm_up_counts_nowhere() -> None:
    slow = sample(warm_up=True, total_ns=10**12, cosine=0.0, tokens=[1], text="")
    made = judged(evidence(slow, *CORE.samples))
    assert made.accepted
    assert made.metrics.latency_ms_p50 == 100


def test_speeds_are_of_speech_only() -> None:
    clips = clip_set(Clip(file="s0.ogg", text=WORDS), Clip(file="n0.ogg", kind="noise"))
    noise = sample("n0.ogg", total_ns=9 * 10**9, seconds=30.0, text="", tokens=[])
    made = evidence(sample("s0.ogg"), noise)
    metrics = gates.measure(made, made, clips)
    assert metrics.latency_ms_p50 == metrics.latency_ms_p95 == 100
    assert metrics.rtfx == pytest.approx(30)


def test_speech_without_a_transcript_is_compared_with_the_core_model_only() -> None:
    clips = clip_set(*[Clip(file=f"s{i}.ogg") for i in range(4)])
    metrics = gates.measure(changed(CORE, 0, text=WORDS + " too"), CORE, clips)
    assert metrics.wer == metrics.wer_delta == 0
    assert metrics.wer_delta_interval == (0, 0)
    assert metrics.wer_vs_core == pytest.approx(2.5)


def test_percentiles_and_units() -> None:
    made = evidence(*[sample(f"s{i}.ogg", total_ns=(i + 1) * 10**8) for i in range(4)])
    metrics = gates.measure(made, CORE, clip_set())
    assert metrics.latency_ms_p50 == 250
    assert metrics.latency_ms_p95 > 400 - 1
    assert metrics.rtfx == pytest.approx(12)
    assert metrics.load_ms == 2
    assert metrics.peak_rss_mb == 1


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_a_repeated_ending_is_a_loop(start: list[int], period: list[int]) -> None:
    assert gates.loops(sample(tokens=[*start, *period * 8]))


@given(st.integers(1, 8))
def test_seven_times_is_no_loop_yet(period: int) -> None:
    tokens = [*range(100, 100 + period), *range(period)] + [*range(period)] * 6
    assert not gates.loops(sample(tokens=tokens))


@given(st.lists(st.integers(0, 50_000), unique=True))
def test_different_tokens_are_no_loop(tokens: list[int]) -> None:
    assert not gates.loops(sample(tokens=tokens))


def test_verdicts_are_plain_values() -> None:
    assert msgspec.json.decode(msgspec.json.encode(judged(CORE)), type=gates.Verdict).accepted
