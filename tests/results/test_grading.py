"""Proofs follow from raw samples: whatever stands in the catalog is not believed."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluate import samples
from tests.results import paper
from tests.results.paper import CPU, EMULATED, HERE, INT8, STAND_IN, THERE, proof
from tests.selection import releases
from whisperopt.backend import Tier
from whisperopt.evaluate import evidence as evidences
from whisperopt.evaluate.evidence import Evidence
from whisperopt.release import catalog
from whisperopt.results.variant import Proof, told

CUDA = releases.variant("cuda-gqa-fp16", precisions=("fp16",))


def judged(*made: Evidence, release: Path) -> dict[str, Proof]:
    """Return what a release with these proofs of one variant says of it."""
    paper.write(release, (CPU, made))
    return replayed(release)


def replayed(release: Path) -> dict[str, Proof]:
    """Return what the only variant's samples say now, by the kind of host."""
    (found,) = paper.replayed(release)
    return {one.host_class: one for one in found.proofs}


def test_a_perfect_run_is_accepted(tmp_path: Path) -> None:
    (one,) = judged(proof(CPU, 70), release=tmp_path / "r").values()
    assert (one.accepted, one.tier, one.host_class) == (True, Tier.MEASURED, HERE)
    assert one.metrics is not None
    assert one.metrics.latency_ms_p50 == 70


@pytest.mark.parametrize(
    "lie",
    [
        {"accepted": True, "reason": ""},
        {"tier": "structural"},
        {"latency_ms_p50": 0.001, "latency_ms_interval": (0.001, 0.002), "wer_delta": -9.0},
        {"host_class": THERE},
        {"started": "2030-01-01T00:00:00+00:00"},
    ],
    ids=["verdict", "tier", "numbers", "host class", "date"],
)
def test_what_the_catalog_says_is_not_believed(tmp_path: Path, lie: dict[str, Any]) -> None:
    before = judged(proof(CPU, 100, right=False), release=tmp_path)
    assert not before[HERE].accepted
    paper.edit_entry(tmp_path, CPU.name, **lie)
    assert replayed(tmp_path) == before


def test_a_verdict_against_a_perfect_run_is_not_believed_either(tmp_path: Path) -> None:
    before = judged(proof(CPU), release=tmp_path)
    paper.edit_entry(tmp_path, CPU.name, accepted=False, reason="I do not like it")
    assert replayed(tmp_path) == before


def test_errors_that_were_edited_away_are_counted_again(tmp_path: Path) -> None:
    """The text says what was heard; `edits` is only what somebody counted."""
    made = proof(CPU, right=False)
    assert all(sample.edits == 0 for sample in made.samples)
    (one,) = judged(made, release=tmp_path).values()
    assert "WER increase" in told(one.reasons)


@pytest.mark.parametrize("kept", [0, 3])
def test_clips_that_were_left_out_are_missed(tmp_path: Path, kept: int) -> None:
    """They may be the ones that went wrong."""
    made = msgspec.structs.replace(proof(CPU), samples=samples.perfect()[:kept])
    paper.write(tmp_path, (CPU, [proof(CPU)]))
    (entry,) = catalog.read(tmp_path).models[paper.MODEL].variants[0].evidence
    evidences.write(tmp_path / entry.report, made)
    found = replayed(tmp_path)
    if kept:
        assert told(found[HERE].reasons) == "its samples lack 1 of 4 clips"
    else:
        assert found == {}


def test_an_emulation_needs_every_third_clip_only(tmp_path: Path) -> None:
    made = msgspec.structs.replace(proof(CPU, **EMULATED), samples=samples.perfect())
    thinned = [made.samples[0], made.samples[3]]
    found = judged(msgspec.structs.replace(made, samples=thinned), release=tmp_path / "r")
    assert found[STAND_IN].accepted
    lacking = msgspec.structs.replace(made, samples=made.samples[:3])
    found = judged(lacking, release=tmp_path / "s")
    assert told(found[STAND_IN].reasons) == "its samples lack 1 of 2 clips"


def test_a_race_without_a_round_that_counts_has_no_time(tmp_path: Path) -> None:
    (one,) = judged(proof(CPU, race=paper.race(())), release=tmp_path).values()
    assert one.metrics is not None
    assert one.metrics.latency_ms_p50 == float("inf")
    assert one.scores.latency_ms is not None
    assert not one.scores.latency_ms.known


def test_samples_on_clips_without_answers_stand_for_nothing(tmp_path: Path) -> None:
    paper.write(tmp_path, (CPU, [proof(CPU)]))
    other = proof(CPU, clip_digest="sha256:other")
    assert paper.context(tmp_path).judge(CPU, other) is None


def test_what_crashed_has_no_samples_and_stays(tmp_path: Path) -> None:
    paper.write(tmp_path, (CPU, [proof(CPU)]))
    lie = {"accepted": False, "reason": "SIGSEGV", "report": ""}
    paper.edit_entry(tmp_path, CPU.name, **lie)
    (one,) = replayed(tmp_path).values()
    assert (one.accepted, one.tier, told(one.reasons)) == (False, Tier.MEASURED, "SIGSEGV")
    assert (one.evidence, one.metrics) == (None, None)


@pytest.mark.parametrize("report", ["", "evidence/gone.json"])
def test_an_entry_without_samples_that_says_accepted_stands_for_nothing(
    tmp_path: Path, report: str
) -> None:
    paper.write(tmp_path, (CPU, [proof(CPU)]))
    paper.edit_entry(tmp_path, CPU.name, report=report)
    assert replayed(tmp_path) == {}


def test_half_precision_that_was_emulated_blindly_is_rejected(tmp_path: Path) -> None:
    paper.write(tmp_path, (CUDA, []))
    known = paper.context(tmp_path)
    blind = known.judge(CUDA, proof(CUDA, **EMULATED))
    seen = samples.Range(value=9.0, node="fc1")
    looked = known.judge(CUDA, proof(CUDA, activations=seen, **EMULATED))
    assert blind is not None
    assert looked is not None
    assert [one.code for one in blind.reasons] == ["gates.not-looked-at"]
    assert looked.accepted


def test_finer_numbers_have_tighter_gates(tmp_path: Path) -> None:
    paper.write(tmp_path, (CPU, []), (INT8, []))
    known = paper.context(tmp_path)
    assert known.gates(CPU).encoder_cosine > known.gates(INT8).encoder_cosine


def test_a_target_that_the_matrix_lacks_has_gates_all_the_same(tmp_path: Path) -> None:
    paper.write(tmp_path, (CPU, []))
    known = paper.context(tmp_path)
    assert known.gates(msgspec.structs.replace(CPU, target="alien")) == known.gates(CPU)
