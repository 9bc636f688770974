"""Verdicts: every gate has its reason, and numbers follow from raw samples alone."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.proof.samples import (
    GATES,
    WORDS,
    answers,
    changed,
    clips,
    evidence,
    perfect,
    sample,
)
from whisperopt.backend import Tier
from whisperopt.matrix import Gates
from whisperopt.proof import gates
from whisperopt.proof.answers import Answers
from whisperopt.proof.clips import Clip
from whisperopt.proof.evidence import Evidence, Lap, Race

CORE = evidence()
WRONG = WORDS.replace("quick", "slow")
STEPPING = (
    "encoder and decoder agree where the words are given: look at what differs in single steps"
    " (cache, positions) and at the suppressed tokens: "
)
LOOSE = Gates(
    encoder_cosine=-1,
    encoder_relative_error=1e9,
    top1_agreement=0,
    kl_divergence=1e9,
    token_match=0,
    clips_no_worse=0,
    batch_agreement=0,
    wer_increase=1e9,
    wer_vs_core=1e9,
    max_activation=1e9,
    weight_scale=1,
    weight_error=1,
)


def judged(made: Evidence, heard: Answers | None = None, **how: Any) -> gates.Verdict:
    return gates.judge(made, heard or answers(), how.pop("bounds", GATES), **how)


def heard(*texts: str, **facts: Any) -> Evidence:
    """Return evidence of clips with those texts."""
    return evidence(*[sample(f"s{n}.ogg", text=text, **facts) for n, text in enumerate(texts)])


def test_the_core_model_itself_passes() -> None:
    verdict = judged(CORE)
    assert verdict.accepted
    assert verdict.reason == ""


BOUNDS: dict[str, tuple[float, Evidence, Evidence, str]] = {
    "encoder_cosine": (
        0.995,
        changed(CORE, 1, cosine=0.995),
        changed(CORE, 1, cosine=0.99496),
        "encoder: cosine 0.99496 is below 0.995",
    ),
    "encoder_relative_error": (
        0.25,
        changed(CORE, 1, relative_error=0.25),
        changed(CORE, 1, relative_error=0.26),
        "encoder: relative error 0.26 is above 0.25",
    ),
    "top1_agreement": (
        0.975,
        changed(CORE, 2, agreements=9),
        changed(CORE, 2, agreements=8),
        "decoder (the encoder agrees): top-1 agreement 0.95 is below 0.975",
    ),
    "kl_divergence": (
        0.025,
        changed(CORE, 2, kl_sum=1.0),
        changed(CORE, 2, kl_sum=1.01),
        "decoder (the encoder agrees): KL divergence 0.02525 is above 0.025",
    ),
    "token_match": (
        0.75,
        changed(CORE, 0, tokens=[5]),
        changed(changed(CORE, 0, tokens=[5]), 1, tokens=[5]),
        STEPPING + "token match 0.5 is below 0.75",
    ),
    "clips_no_worse": (
        0.75,
        changed(CORE, 0, text=WRONG),
        changed(changed(CORE, 0, text=WRONG), 1, text=WRONG),
        STEPPING + "share of clips no worse 0.5 is below 0.75",
    ),
    "batch_agreement": (
        0.95,
        evidence(batch_agreement=0.95),
        evidence(batch_agreement=0.9499),
        "agreement in a batch of two 0.9499 is below 0.95",
    ),
    "wer_increase": (
        2.5,
        changed(CORE, 3, text=WRONG),
        changed(CORE, 3, text=WRONG + " too"),
        STEPPING + "WER increase 5 is above 2.5",
    ),
    "wer_vs_core": (
        2.5,
        changed(CORE, 3, text=WRONG),
        changed(CORE, 3, text=WRONG + " too"),
        STEPPING + "WER against the core model 5 is above 2.5",
    ),
    "max_activation": (
        60000.0,
        evidence(activation=60000.0),
        evidence(activation=60000.01),
        "largest activation 60000.01 is above 60000",
    ),
}


def test_every_gate_that_samples_decide_is_tried() -> None:
    weights = {"weight_scale", "weight_error"}
    assert BOUNDS.keys() | weights == set(Gates.__struct_fields__)


@pytest.mark.parametrize("gate", BOUNDS)
def test_a_bound_itself_is_allowed_and_what_is_beyond_is_not(gate: str) -> None:
    bound, inside, outside, reason = BOUNDS[gate]
    bounds = msgspec.structs.replace(LOOSE, **{gate: bound})
    assert judged(inside, bounds=bounds).reason == ""
    assert judged(outside, bounds=LOOSE).accepted
    assert judged(outside, bounds=bounds).reason == reason


@pytest.mark.parametrize("field", ["cosine", "relative_error", "kl_sum"])
@pytest.mark.parametrize("place", range(4))
def test_what_is_no_number_never_passes(field: str, place: int) -> None:
    verdict = judged(changed(CORE, place, **{field: math.nan}))
    assert not verdict.accepted
    assert " nan is " in verdict.reason


def test_what_is_no_number_never_passes_without_a_clip_either() -> None:
    assert not judged(evidence(batch_agreement=math.nan)).accepted
    assert not judged(evidence(activation=math.nan)).accepted
    assert not judged(evidence(activation=math.inf)).accepted


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_reason_never_shows_a_number_as_its_own_bound(value: float, bound: float) -> None:
    made = changed(CORE, 0, relative_error=value)
    bounds = msgspec.structs.replace(LOOSE, encoder_relative_error=bound)
    reason = judged(made, bounds=bounds).reason
    assert bool(reason) == (value > bound)
    if reason:
        assert float(reason.split()[3]) > bound


def test_a_wrong_encoder_is_named_first_and_excuses_nobody() -> None:
    made = changed(changed(CORE, 0, cosine=0.5, relative_error=3.0), 1, agreements=1, text=WRONG)
    assert judged(made).reason == (
        "encoder: cosine 0.5 is below 0.995, relative error 3 is above 0.5;"
        " decoder: top-1 agreement 0.775 is below 0.98;"
        " words: WER increase 2.5 is above 0.5, WER against the core model 2.5 is above 2,"
        " share of clips no worse 0.75 is below 0.9"
    )


def test_a_wrong_decoder_behind_a_right_encoder_is_told_apart() -> None:
    made = changed(CORE, 1, kl_sum=9.0, text=WRONG)
    decoder, words = judged(made).reason.split("; ")
    assert decoder == "decoder (the encoder agrees): KL divergence 0.225 is above 0.02"
    assert words.startswith("words: ")


def test_right_numbers_with_wrong_words_point_at_steps() -> None:
    reason = judged(evidence(*[sample(f"s{n}.ogg", tokens=[n]) for n in range(4)])).reason
    assert reason == STEPPING + "token match 0 is below 0.5"


def test_speech_without_a_text_is_refused() -> None:
    made = changed(CORE, 3, text="", tokens=[])
    assert "1 clip with speech gave no text" in judged(made).reason
    made = changed(made, 2, text="", tokens=[])
    assert "2 clips with speech gave no text" in judged(made).reason


def test_silence_of_the_core_model_is_no_fault() -> None:
    silent = changed(CORE, 0, text="")
    assert judged(silent, answers(silent)).metrics.empty == 0


def test_a_loop_is_refused_unless_the_core_model_has_it_too() -> None:
    looping = changed(CORE, 0, tokens=[7] * 8)
    assert judged(looping).reason == STEPPING + "1 clip ended in a loop"
    assert judged(looping, answers(looping)).accepted


@pytest.mark.parametrize("kind", ["noise", "silence"])
@pytest.mark.parametrize(
    ("own", "cores", "invented"),
    [
        ("Thank you.", "", 1),
        ("Thank you.", ". . .", 1),
        ("Thank you.", "Thanks for watching!", 0),
        (" . . .", "", 0),
        ("", "Thanks for watching!", 0),
        ("", "", 0),
    ],
)
def test_a_text_from_nothing_is_refused_unless_the_core_model_has_one(
    kind: Any, own: str, cores: str, invented: int
) -> None:
    played = (*clips(), Clip(file="n.ogg", kind=kind))
    core = evidence(*perfect(), sample("n.ogg", text=cores, units=0))
    verdict = judged(evidence(*perfect(), sample("n.ogg", text=own)), answers(core, *played))
    assert verdict.metrics.invented == invented
    assert verdict.accepted == (not invented)
    if invented:
        assert verdict.reason == STEPPING + "1 clip of noise or silence gave a text"


def two_languages(english: int, german: int) -> tuple[Evidence, Answers]:
    """Return 40 clips in each language, of which so many have two wrong words."""
    played = [Clip(file=f"e{n}.ogg", text=WORDS) for n in range(40)]
    played += [Clip(file=f"d{n}.ogg", text=WORDS, language="de") for n in range(40)]
    wrong = {f"e{n}.ogg" for n in range(english)} | {f"d{n}.ogg" for n in range(german)}
    twice = WRONG.replace("fox", "box")
    made = [sample(c.file, text=twice if c.file in wrong else WORDS) for c in played]
    return evidence(*made), answers(evidence(*[sample(c.file) for c in played]), *played)


def test_a_language_that_got_worse_for_certain_is_named() -> None:
    bounds = msgspec.structs.replace(LOOSE, wer_increase=1.9)
    made, played = two_languages(english=0, german=15)
    verdict = judged(made, played, bounds=bounds)
    english, german = verdict.metrics.languages[1], verdict.metrics.languages[0]
    assert (english.delta, german.delta) == (0, pytest.approx(7.5))
    assert german.interval[0] > 1.9
    assert "; ".join(verdict.reason.split(", ")[1:]).startswith("de +7.50 points (95 %: +")
    assert verdict.reason.endswith("above 1.9")
    assert "en +" not in verdict.reason


def test_a_language_that_may_have_got_worse_by_chance_is_not_refused() -> None:
    bounds = msgspec.structs.replace(LOOSE, wer_increase=1.9)
    made, played = two_languages(english=0, german=6)
    verdict = judged(made, played, bounds=bounds)
    assert verdict.metrics.languages[0].delta == pytest.approx(3)
    assert verdict.metrics.languages[0].interval[0] < 1.9
    assert verdict.reason == ""


def test_languages_without_spaces_are_counted_in_characters() -> None:
    played = clips(2, text="你好世界", language="zh")
    core = heard("你好世界", "你好世界")
    metrics = judged(heard("你好世界", "你好世间"), answers(core, *played)).metrics
    (chinese,) = metrics.languages
    assert (chinese.language, chinese.unit, chinese.units) == ("zh", "characters", 8)
    assert chinese.delta == metrics.wer_delta == pytest.approx(12.5)


def test_few_clips_give_a_note_with_numbers_and_many_give_none() -> None:
    assert judged(CORE).notes == (
        "en: with 4 clips and 40 words an increase of up to 9.2 points cannot be excluded",
    )
    many = evidence(*perfect(100))
    assert judged(many, answers(many, *clips(100))).notes == ()


def test_each_language_has_a_note_of_its_own() -> None:
    played = (*clips(2), *(Clip(file=f"s{n}.ogg", text=WORDS, language="de") for n in (2, 3)))
    german, english = judged(CORE, answers(CORE, *played)).notes
    assert german.startswith("de: with 2 clips and 20 words")
    assert english.startswith("en: with 2 clips and 20 words")


def test_clips_without_a_transcript_give_a_note() -> None:
    played = tuple(Clip(file=f"s{n}.ogg") for n in range(4))
    verdict = judged(changed(CORE, 0, text=WRONG), answers(CORE, *played))
    assert verdict.notes == (
        "no clip has a transcript: words are only compared with the core model's",
    )
    metrics = verdict.metrics
    assert metrics.wer == metrics.wer_delta == 0
    assert metrics.wer_delta_interval == (0, 0)
    assert metrics.languages == ()
    assert metrics.wer_vs_core == pytest.approx(2.5)


def test_what_was_not_tried_is_not_judged() -> None:
    assert judged(evidence(batch_agreement=None, activation=None)).accepted


@pytest.mark.parametrize(
    ("placement", "tier", "gpu", "accepted"),
    [
        ({"CUDAExecutionProvider": 90, "CPUExecutionProvider": 10}, Tier.MEASURED, True, True),
        ({"CUDAExecutionProvider": 89, "CPUExecutionProvider": 11}, Tier.MEASURED, True, False),
        ({"CPUExecutionProvider": 100}, Tier.MEASURED, True, False),
        ({"CPUExecutionProvider": 100}, Tier.EMULATED, True, True),
        ({"CPUExecutionProvider": 100}, Tier.MEASURED, False, True),
        ({}, Tier.MEASURED, True, True),
    ],
)
def test_a_gpu_that_was_measured_ran_the_graph_itself(
    placement: dict[str, int], tier: Tier, *, gpu: bool, accepted: bool
) -> None:
    verdict = judged(evidence(placement=placement, tier=tier), gpu=gpu)
    assert verdict.accepted == accepted
    if not accepted:
        on_cpu = placement["CPUExecutionProvider"]
        assert verdict.reason == f"{on_cpu} of 100 nodes ran on the CPU"


def test_fewer_errors_than_the_core_model_pass() -> None:
    core = changed(CORE, 0, text=WORDS + " and more and more")
    metrics = gates.measure(CORE, answers(core))
    assert metrics.wer == 0
    assert metrics.wer_delta == pytest.approx(-10)
    assert metrics.clips_no_worse == 1


def test_a_part_of_the_clips_is_compared_with_that_part() -> None:
    core = changed(changed(CORE, 0, total_ns=1), 1, text="nothing that was said")
    verdict = judged(evidence(CORE.samples[0], CORE.samples[2]), answers(core))
    assert verdict.accepted
    assert verdict.metrics.wer_delta == 0
    assert verdict.metrics.token_match == 1


def test_edits_that_a_sample_claims_are_not_believed() -> None:
    made = changed(CORE, 0, text=WRONG, edits=0)
    assert judged(made).metrics.wer == pytest.approx(2.5)


def test_warm_up_counts_nowhere() -> None:
    slow = sample(warm_up=True, total_ns=10**12, cosine=0.0, tokens=[1], text="")
    made = judged(evidence(slow, *CORE.samples))
    assert made.accepted
    assert made.metrics.latency_ms_p50 == 100


def test_speeds_are_of_speech_only() -> None:
    noise = sample("n0.ogg", total_ns=9 * 10**9, seconds=30.0, text="", tokens=[])
    made = evidence(sample("s0.ogg"), noise)
    metrics = gates.measure(made, answers(made, *clips(1), Clip(file="n0.ogg", kind="noise")))
    assert metrics.latency_ms_p50 == metrics.latency_ms_p95 == 100
    assert metrics.rtfx == pytest.approx(30)


def test_percentiles_and_units() -> None:
    made = evidence(*[sample(f"s{i}.ogg", total_ns=(i + 1) * 10**8) for i in range(4)])
    metrics = gates.measure(made, answers())
    assert metrics.latency_ms_p50 == 250
    assert metrics.latency_ms_p95 > 400 - 1
    assert metrics.latency_ms_interval is metrics.throughput is None
    assert metrics.rtfx == pytest.approx(12)
    assert metrics.load_ms == 2
    assert metrics.peak_rss_mb == 1


def test_times_are_those_of_the_race_where_there_was_one() -> None:
    laps = [
        Lap(round=number, clips=("s0.ogg",), seconds=3.0, total_ns=time * 10**6)
        for number, time in enumerate((999, 30, 10, 20))
    ]
    race = Race(
        rivals=("a",), started="", load_ns=7_000_000, peak_rss_bytes=5 * 2**20, laps=tuple(laps)
    )
    metrics = gates.measure(evidence(race=race), answers())
    assert metrics.latency_ms_p50 == 20
    assert metrics.latency_ms_interval == (10, 30)
    assert metrics.rtfx == metrics.throughput == pytest.approx(150)
    assert (metrics.load_ms, metrics.peak_rss_mb) == (7, 5)


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
