"""Rows of the report: every fate, and whose evidence decided."""

from pathlib import Path

from tests.evaluate import samples
from tests.pipeline.lots import HERE, lot, outcome, proven
from whisperopt.backend import Tier
from whisperopt.matrix import Objective
from whisperopt.pipeline import summary

RISKY = {"selectable_from": Tier.MEASURED, "caution": "wrong on some drivers"}


def test_every_fate_is_told(tmp_path: Path) -> None:
    row = summary._target(
        lot(
            proven(outcome(tmp_path, "cpu-gqa-fp32"), tier=Tier.EMULATED),
            proven(outcome(tmp_path, "cpu-mha-fp32", ladder_rank=1), tier=Tier.EMULATED),
            outcome(tmp_path, "cpu-gqa-fp16", ladder_rank=2, recipe=RISKY, tier=Tier.EMULATED),
            proven(outcome(tmp_path, "cpu-gqa-int8", ladder_rank=3), samples.sample(cosine=0.1)),
            outcome(tmp_path, "cpu-gqa-bf16", ladder_rank=4, tier=None, failure="it aborted"),
            outcome(
                tmp_path,
                "cpu-decomposed-fp32",
                ladder_rank=5,
                tier=None,
                failure="not needed: it stands in for gqa-fp32, which is accepted",
                needed=False,
            ),
        )
    )
    fates = {one.name.removeprefix("cpu-"): (one.fate, one.accepted) for one in row.candidates}
    assert fates == {
        "gqa-fp32": ("selected", True),
        "mha-fp32": ("accepted", True),
        "gqa-fp16": ("waits", False),
        "gqa-int8": ("rejected", False),
        "gqa-bf16": ("rejected", False),
        "decomposed-fp32": ("not needed", False),
    }
    assert [one.ladder_rank for one in row.candidates] == list(range(6))
    assert all(one.reason for one in row.candidates)


def test_the_kind_of_host_whose_evidence_decided_is_named(tmp_path: Path) -> None:
    row = summary._target(lot(proven(outcome(tmp_path))))
    assert (row.selected, row.tier, row.host_class) == ("cpu-gqa-fp32", Tier.MEASURED, HERE)


def test_without_evidence_nobody_decided(tmp_path: Path) -> None:
    row = summary._target(lot(outcome(tmp_path)))
    assert (row.selected, row.tier, row.host_class) == ("cpu-gqa-fp32", Tier.STRUCTURAL, None)
    nothing = summary._target(lot(outcome(tmp_path / "other", tier=None, failure="it aborted")))
    assert (nothing.selected, nothing.tier, nothing.host_class) == (None, None, None)


def test_notes_numbers_and_the_objective_are_told(tmp_path: Path) -> None:
    made = proven(outcome(tmp_path))
    row = summary._target(lot(made, objective=Objective(goal="size", at_most={"wer_delta": 1})))
    (one,) = row.candidates
    assert row.objective == "size with wer_delta <= 1"
    assert one.notes == made.notes
    assert one.notes
    assert one.metrics.size_bytes == sum(file.size for file in made.files)
    assert one.metrics.encoder_cosine == 1


def test_a_variant_outside_the_limits_is_accepted_and_not_selected(tmp_path: Path) -> None:
    row = summary._target(
        lot(proven(outcome(tmp_path)), objective=Objective(at_most={"latency_ms_p50": 99}))
    )
    (one,) = row.candidates
    assert (row.selected, one.fate, one.accepted) == (None, "accepted", True)
    assert "at most 99 was asked for" in one.reason
