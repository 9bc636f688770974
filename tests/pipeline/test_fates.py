"""Rows of the report: every fate, and whose evidence decided."""

from pathlib import Path

import msgspec

from tests.evaluate import samples
from tests.pipeline import results
from tests.pipeline.results import HERE, emulated, made, proven
from whisperopt.backend import Tier
from whisperopt.matrix import Objective
from whisperopt.pipeline.checks import refuse
from whisperopt.reasons import because
from whisperopt.release import store
from whisperopt.release.report import TargetReport
from whisperopt.results.variant import VariantResult

RISKY = {"selectable_from": Tier.MEASURED, "caution": "wrong on some drivers"}
ABORTED = because("recorded.text", "it aborted")


def unmade(of: VariantResult) -> VariantResult:
    """Return a variant that could not even be written."""
    return refuse(msgspec.structs.replace(of, passed=()), ABORTED)


def reported(tmp_path: Path, *found: VariantResult, **changes: object) -> TargetReport:
    """Return the row of the target in the report of a build that `found` this."""
    with store.staging(tmp_path / "release") as staging:
        for path in tmp_path.glob("*--*"):
            path.rename(staging / path.name)
        (row,) = results.release(tmp_path / "release", found, staging, **changes).targets
    return row


def test_every_fate_is_told(tmp_path: Path) -> None:
    stand_in = made(tmp_path, "cpu-decomposed-fp32", ladder_rank=5)
    why = because("check.stand-in", "gqa-fp32")
    row = reported(
        tmp_path,
        emulated(made(tmp_path, "cpu-gqa-fp32")),
        emulated(made(tmp_path, "cpu-mha-fp32", ladder_rank=1)),
        emulated(made(tmp_path, "cpu-gqa-bf16", ladder_rank=2, **RISKY)),
        proven(made(tmp_path, "cpu-gqa-int8", ladder_rank=3), samples.sample(cosine=0.1)),
        unmade(made(tmp_path, "cpu-gqa-fp16", ladder_rank=4)),
        msgspec.structs.replace(stand_in, skipped=why),
    )
    fates = {one.name.removeprefix("cpu-"): (one.fate, one.accepted) for one in row.candidates}
    assert fates == {
        "gqa-fp32": ("selected", True),
        "mha-fp32": ("accepted", True),
        "gqa-bf16": ("waits", False),
        "gqa-int8": ("rejected", False),
        "gqa-fp16": ("rejected", False),
        "decomposed-fp32": ("not needed", False),
    }
    assert [one.ladder_rank for one in row.candidates] == list(range(6))
    assert all(one.reason for one in row.candidates)


def test_the_kind_of_host_whose_evidence_decided_is_named(tmp_path: Path) -> None:
    row = reported(tmp_path, proven(made(tmp_path)))
    assert (row.selected, row.tier, row.host_class) == ("cpu-gqa-fp32", Tier.MEASURED, HERE)


def test_without_evidence_nobody_decided(tmp_path: Path) -> None:
    row = reported(tmp_path, made(tmp_path))
    assert (row.selected, row.tier, row.host_class) == ("cpu-gqa-fp32", Tier.STRUCTURAL, None)
    nothing = reported(tmp_path, unmade(made(tmp_path / "other")))
    assert (nothing.selected, nothing.tier, nothing.host_class) == (None, None, None)
    assert nothing.candidates[0].tier is None


def test_notes_numbers_and_the_objective_are_told(tmp_path: Path) -> None:
    aim = Objective(goal="size", at_most={"wer_delta": 1})
    found = proven(made(tmp_path, objective=aim))
    row = reported(tmp_path, found, objective=aim)
    (one,) = row.candidates
    assert row.objective == "size with wer_delta <= 1"
    assert one.notes == found.proofs[0].notes
    assert one.notes
    assert one.metrics.size_bytes == found.variant.size
    assert one.metrics.encoder_cosine == 1


def test_a_variant_outside_the_limits_is_accepted_and_not_selected(tmp_path: Path) -> None:
    aim = Objective(at_most={"latency_ms_p50": 99})
    row = reported(tmp_path, proven(made(tmp_path, objective=aim)), objective=aim)
    (one,) = row.candidates
    assert (row.selected, one.fate, one.accepted) == (None, "accepted", True)
    assert "at most 99 was asked for" in one.reason
