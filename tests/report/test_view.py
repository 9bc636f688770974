import typing

import pytest

from tests.report import made
from whisperopt.backend import Tier
from whisperopt.release import report as reports
from whisperopt.report.view import FATES, aim, outcome


def test_every_fate_of_a_report_has_its_words():
    assert set(FATES) == set(typing.get_args(reports.Fate))
    assert {badge.key for badge in FATES.values()} == {fate.replace(" ", "-") for fate in FATES}


def test_marks_and_words_differ():
    badges = FATES.values()
    assert len({b.mark for b in badges}) == len({b.word for b in badges}) == len(FATES)


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        ("latency", "the least time for a clip"),
        ("throughput", "the most audio in the same time"),
        ("size with wer_delta <= 0.5", "size with wer_delta <= 0.5"),
        ("", ""),
    ],
)
def test_a_bare_goal_is_told_as_people_do_and_anything_else_stays(objective, told):
    assert aim(objective) == told


@pytest.mark.parametrize(
    ("tiers", "sentence"),
    [
        ((Tier.MEASURED,), "The target has a variant: 1 measured on the device."),
        (
            (Tier.MEASURED, Tier.EMULATED),
            "Both targets have a variant: 1 measured on the device, 1 proven in emulation.",
        ),
        (
            (Tier.STRUCTURAL, None),
            "1 of 2 targets has a variant: 1 checked in structure only. Required and missing: t1.",
        ),
        ((None, None), "Nothing could be selected for 2 targets: the reasons are below."),
    ],
)
def test_the_outcome_is_one_clear_sentence(tiers, sentence):
    targets = [
        made.target(f"t{n}", made.candidate(f"c{n}", tier, accepted=tier is not None))
        for n, tier in enumerate(tiers)
    ]
    assert outcome(made.report(*targets)) == sentence
