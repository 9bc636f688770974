"""Verdicts: every gate has its reason, which points at what is wrong."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.samples import GATES, answers, changed, clips, evidence, perfect, sample
from tests.evaluate.verdicts import LOOSE, STEPPING, WRONG, judged
from whisperopt.backend import Tier
from whisperopt.evaluate import gates
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence
from whisperopt.matrix import Gates
from whisperopt.results.variant import told

CORE = evidence()


def test_the_core_model_itself_passes() -> None:
    verdict = judged(CORE)
    assert not verdict.reasons
    assert told(verdict.reasons) == ""


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
    assert told(judged(inside, bounds=bounds).reasons) == ""
    assert not judged(outside, bounds=LOOSE).reasons
    assert told(judged(outside, bounds=bounds).reasons) == reason


@pytest.mark.parametrize("field", ["cosine", "relative_error", "kl_sum"])
@pytest.mark.parametrize("place", range(4))
def test_what_is_no_number_never_passes(field: str, place: int) -> None:
    verdict = judged(changed(CORE, place, **{field: math.nan}))
    assert verdict.reasons
    assert " nan is " in told(verdict.reasons)


def test_what_is_no_number_never_passes_without_a_clip_either() -> None:
    assert judged(evidence(batch_agreement=math.nan)).reasons
    assert judged(evidence(activation=math.nan)).reasons
    assert judged(evidence(activation=math.inf)).reasons


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_reason_never_shows_a_number_as_its_own_bound(value: float, bound: float) -> None:
    made = changed(CORE, 0, relative_error=value)
    bounds = msgspec.structs.replace(LOOSE, encoder_relative_error=bound)
    reason = told(judged(made, bounds=bounds).reasons)
    assert bool(reason) == (value > bound)
    if reason:
        assert float(reason.split()[3]) > bound


def test_a_wrong_encoder_is_named_first_and_excuses_nobody() -> None:
    made = changed(changed(CORE, 0, cosine=0.5, relative_error=3.0), 1, agreements=1, text=WRONG)
    assert told(judged(made).reasons) == (
        "encoder: cosine 0.5 is below 0.995, relative error 3 is above 0.5;"
        " decoder: top-1 agreement 0.775 is below 0.98;"
        " words: WER increase 2.5 is above 0.5, WER against the core model 2.5 is above 2,"
        " share of clips no worse 0.75 is below 0.9"
    )


def test_a_wrong_decoder_behind_a_right_encoder_is_told_apart() -> None:
    made = changed(CORE, 1, kl_sum=9.0, text=WRONG)
    decoder, words = map(str, judged(made).reasons)
    assert decoder == "decoder (the encoder agrees): KL divergence 0.225 is above 0.02"
    assert words.startswith("words: ")


def test_right_numbers_with_wrong_words_point_at_steps() -> None:
    reason = told(judged(evidence(*[sample(f"s{n}.ogg", tokens=[n]) for n in range(4)])).reasons)
    assert reason == STEPPING + "token match 0 is below 0.5"


def test_speech_without_a_text_is_refused() -> None:
    made = changed(CORE, 3, text="", tokens=[])
    assert "1 clip with speech gave no text" in told(judged(made).reasons)
    made = changed(made, 2, text="", tokens=[])
    assert "2 clips with speech gave no text" in told(judged(made).reasons)


def test_silence_of_the_core_model_is_no_fault() -> None:
    silent = changed(CORE, 0, text="")
    assert judged(silent, answers(silent)).metrics.empty == 0


def test_a_loop_is_refused_unless_the_core_model_has_it_too() -> None:
    looping = changed(CORE, 0, tokens=[7] * 8)
    assert told(judged(looping).reasons) == STEPPING + "1 clip ended in a loop"
    assert not judged(looping, answers(looping)).reasons


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
    assert bool(verdict.reasons) == invented
    if invented:
        assert told(verdict.reasons) == STEPPING + "1 clip of noise or silence gave a text"


def test_what_was_not_tried_is_not_judged() -> None:
    assert not judged(evidence(batch_agreement=None, activation=None)).reasons


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
    assert bool(verdict.reasons) != accepted
    if not accepted:
        on_cpu = placement["CPUExecutionProvider"]
        assert told(verdict.reasons) == f"{on_cpu} of 100 nodes ran on the CPU"


def test_verdicts_are_plain_values() -> None:
    assert not msgspec.json.decode(msgspec.json.encode(judged(CORE)), type=gates.Verdict).reasons


def test_a_number_that_is_not_there_never_passes() -> None:
    metrics = msgspec.structs.replace(judged(CORE).metrics, wer_delta=None)
    assert "WER increase unknown is above" in told(gates._failures(metrics, GATES))
