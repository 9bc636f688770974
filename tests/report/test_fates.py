import typing

import pytest

from tests.report import made
from whisperopt.backend import Tier
from whisperopt.release import report as reports
from whisperopt.report.fates import Fate, outcome


def test_every_fate_of_a_report_has_its_words():
    assert {fate.value for fate in Fate} == set(typing.get_args(reports.Fate))
    assert all(fate.word and fate.meaning.endswith(".") for fate in Fate)


def test_marks_and_words_differ():
    assert len({f.mark for f in Fate}) == len({f.word for f in Fate}) == len(Fate)


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
