import msgspec
import pytest

from tests.report import made
from whisperopt import select
from whisperopt.backend import Tier
from whisperopt.builder import line
from whisperopt.report.fates import Fate, fate, outcome


def test_every_fate_is_told_apart():
    report, _ = made.plain()
    cpu, directml = report.targets
    assert [fate(c, cpu) for c in cpu.candidates] == [
        Fate.SELECTED,
        Fate.ACCEPTED,
        Fate.NOT_NEEDED,
        Fate.REJECTED,
    ]
    assert [fate(c, directml) for c in directml.candidates] == [Fate.WAITS]


def test_the_words_of_selection_are_understood():
    waits = select.Candidate(
        name="a",
        target="cpu",
        ladder_rank=0,
        tier=Tier.EMULATED,
        selectable_from=Tier.MEASURED,
        caution="drivers differ",
    )
    (ranked,) = select.select([waits])
    said = made.candidate("a", Tier.EMULATED, accepted=False, reason=ranked.reason)
    assert fate(said, made.target("cpu", said)) is Fate.WAITS


def test_the_words_of_the_line_are_understood():
    class Outcome(msgspec.Struct):
        failure: str = ""

    reason = line._unneeded(Outcome(), "gqa").failure
    said = made.candidate("a", None, accepted=False, reason=reason)
    assert fate(said, made.target("cpu", said)) is Fate.NOT_NEEDED


def test_marks_and_words_differ():
    assert len({f.mark for f in Fate}) == len({f.word for f in Fate}) == len(Fate)


@pytest.mark.parametrize(
    ("tiers", "sentence"),
    [
        ((Tier.MEASURED,), "The target has a variant: 1 measured on this machine."),
        (
            (Tier.MEASURED, Tier.EMULATED),
            "Both targets have a variant: 1 measured on this machine, 1 proven in emulation.",
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
