"""Numbers follow from raw samples alone."""

import pytest

from tests.evaluate.samples import WORDS, answers, changed, clips, evidence, sample
from tests.evaluate.verdicts import WRONG, judged
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Lap, Race
from whisperopt.evaluate.metrics import measure

CORE = evidence()


def test_fewer_errors_than_the_core_model_pass() -> None:
    core = changed(CORE, 0, text=WORDS + " and more and more")
    metrics = measure(CORE, answers(core))
    assert metrics.wer == 0
    assert metrics.wer_delta == pytest.approx(-10)
    assert metrics.clips_no_worse == 1


def test_a_part_of_the_clips_is_compared_with_that_part() -> None:
    core = changed(changed(CORE, 0, total_ns=1), 1, text="nothing that was said")
    verdict = judged(evidence(CORE.samples[0], CORE.samples[2]), answers(core))
    assert not verdict.reasons
    assert verdict.metrics.wer_delta == 0
    assert verdict.metrics.token_match == 1


def test_edits_that_a_sample_claims_are_not_believed() -> None:
    made = changed(CORE, 0, text=WRONG, edits=0)
    assert judged(made).metrics.wer == pytest.approx(2.5)


def test_warm_up_counts_nowhere() -> None:
    slow = sample(warm_up=True, total_ns=10**12, cosine=0.0, tokens=[1], text="")
    made = judged(evidence(slow, *CORE.samples))
    assert not made.reasons
    assert made.metrics.latency_ms_p50 == 100


def test_speeds_are_of_speech_only() -> None:
    noise = sample("n0.ogg", total_ns=9 * 10**9, seconds=30.0, text="", tokens=[])
    made = evidence(sample("s0.ogg"), noise)
    metrics = measure(made, answers(made, *clips(1), Clip(file="n0.ogg", kind="noise")))
    assert metrics.latency_ms_p50 == 100
    assert metrics.rtfx == pytest.approx(30)


def test_medians_and_units() -> None:
    made = evidence(*[sample(f"s{i}.ogg", total_ns=(i + 1) * 10**8) for i in range(4)])
    metrics = measure(made, answers())
    assert metrics.latency_ms_p50 == 250
    assert metrics.latency_ms_interval is metrics.throughput is None
    assert metrics.rtfx == pytest.approx(12)
    assert metrics.peak_rss_mb == 1


def test_times_are_those_of_the_race_where_there_was_one() -> None:
    laps = [
        Lap(round=number, clips=("s0.ogg",), seconds=3.0, total_ns=time * 10**6)
        for number, time in enumerate((999, 30, 10, 20))
    ]
    race = Race(
        rivals=("a",), started="", load_ns=7_000_000, peak_rss_bytes=5 * 2**20, laps=tuple(laps)
    )
    metrics = measure(evidence(race=race), answers())
    assert metrics.latency_ms_p50 == 20
    assert metrics.latency_ms_interval == (10, 30)
    assert metrics.rtfx == metrics.throughput == pytest.approx(150)
    assert metrics.peak_rss_mb == 5
