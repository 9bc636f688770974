"""Verdicts follow from raw samples: whatever stands in the catalog is not believed."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluate import samples
from tests.results import paper
from tests.results.paper import CPU, EMULATED, HERE, INT8, STAND_IN, THERE, proof, replayed
from tests.selection import releases
from whisperopt.backend import Tier
from whisperopt.evaluate import evidence as evidences
from whisperopt.evaluate.evidence import Evidence
from whisperopt.release import catalog
from whisperopt.results import verdicts
from whisperopt.results.verdicts import Judged

CUDA = releases.variant("cuda-gqa-fp16", precisions=("fp16",))


def judged(*made: Evidence, release: Path) -> dict[str, Judged]:
    """Return what a release with these proofs of one variant says of it."""
    paper.write(release, (CPU, made))
    return replayed(release, CPU.name)


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
    assert replayed(tmp_path, CPU.name) == before


def test_a_verdict_against_a_perfect_run_is_not_believed_either(tmp_path: Path) -> None:
    before = judged(proof(CPU), release=tmp_path)
    paper.edit_entry(tmp_path, CPU.name, accepted=False, reason="I do not like it")
    assert replayed(tmp_path, CPU.name) == before


def test_errors_that_were_edited_away_are_counted_again(tmp_path: Path) -> None:
    """The text says what was heard; `edits` is only what somebody counted."""
    made = proof(CPU, right=False)
    assert all(sample.edits == 0 for sample in made.samples)
    (one,) = judged(made, release=tmp_path).values()
    assert "WER increase" in one.reason


@pytest.mark.parametrize("kept", [0, 3])
def test_clips_that_were_left_out_are_missed(tmp_path: Path, kept: int) -> None:
    """They may be the ones that went wrong."""
    made = msgspec.structs.replace(proof(CPU), samples=samples.perfect()[:kept])
    paper.write(tmp_path, (CPU, [proof(CPU)]))
    (entry,) = catalog.read(tmp_path).models[paper.MODEL].variants[0].evidence
    evidences.write(tmp_path / entry.report, made)
    found = replayed(tmp_path, CPU.name)
    if kept:
        assert found[HERE].reason == "its samples lack 1 of 4 clips"
    else:
        assert found == {}


def test_an_emulation_needs_every_third_clip_only(tmp_path: Path) -> None:
    made = msgspec.structs.replace(proof(CPU, **EMULATED), samples=samples.perfect())
    thinned = [made.samples[0], made.samples[3]]
    found = judged(msgspec.structs.replace(made, samples=thinned), release=tmp_path / "r")
    assert found[STAND_IN].accepted
    lacking = msgspec.structs.replace(made, samples=made.samples[:3])
    found = judged(lacking, release=tmp_path / "s")
    assert found[STAND_IN].reason == "its samples lack 1 of 2 clips"


def test_a_race_without_a_round_that_counts_has_no_time(tmp_path: Path) -> None:
    (one,) = judged(proof(CPU, race=paper.race(())), release=tmp_path).values()
    assert one.metrics is not None
    assert one.metrics.latency_ms_p50 == float("inf")
    standing = verdicts.standing({HERE: one}, HERE)
    assert standing.metrics == one.metrics


def test_samples_on_clips_without_answers_stand_for_nothing(tmp_path: Path) -> None:
    paper.write(tmp_path, (CPU, [proof(CPU)]))
    other = proof(CPU, clip_digest="sha256:other")
    assert paper.bench(tmp_path).judge(other, gpu=False) is None


def test_what_crashed_has_no_samples_and_stays(tmp_path: Path) -> None:
    paper.write(tmp_path, (CPU, [proof(CPU)]))
    lie = {"accepted": False, "reason": "SIGSEGV", "report": ""}
    paper.edit_entry(tmp_path, CPU.name, **lie)
    (one,) = replayed(tmp_path, CPU.name).values()
    assert (one.accepted, one.tier, one.reason) == (False, Tier.MEASURED, "SIGSEGV")
    assert (one.evidence, one.metrics) == (None, None)


@pytest.mark.parametrize("report", ["", "evidence/gone.json"])
def test_an_entry_without_samples_that_says_accepted_stands_for_nothing(
    tmp_path: Path, report: str
) -> None:
    paper.write(tmp_path, (CPU, [proof(CPU)]))
    paper.edit_entry(tmp_path, CPU.name, report=report)
    assert replayed(tmp_path, CPU.name) == {}


def test_half_precision_that_was_emulated_blindly_is_rejected(tmp_path: Path) -> None:
    paper.write(tmp_path, (CUDA, []))
    known = paper.bench(tmp_path)
    blind = known.judge(proof(CUDA, **EMULATED), gpu=True)
    seen = samples.Range(value=9.0, node="fc1")
    looked = known.judge(proof(CUDA, activations=seen, **EMULATED), gpu=True)
    assert blind is not None
    assert looked is not None
    assert blind.reason == "its activations were not looked at"
    assert looked.accepted


def test_finer_numbers_have_tighter_gates(tmp_path: Path) -> None:
    paper.write(tmp_path, (CPU, []), (INT8, []))
    gates = paper.bench(tmp_path).gates
    assert gates[CPU.name].encoder_cosine > gates[INT8.name].encoder_cosine


# What follows from several


def verdict(
    host_class: str, tier: Tier = Tier.MEASURED, reason: str = "", started: str = "1"
) -> Judged:
    made = samples.evidence(tier=tier, host_class=host_class)
    return Judged(
        host_class=host_class, evidence=made, verdict=None, reason=reason, started=started
    )


def by_host(*made: Judged) -> dict[str, Judged]:
    return {one.host_class: one for one in made}


def test_the_best_tier_is_that_of_the_best_accepted() -> None:
    emulated, failed = verdict(STAND_IN, Tier.EMULATED), verdict(HERE, reason="no")
    assert verdicts.best_tier([]) is Tier.STRUCTURAL
    assert verdicts.best_tier([failed]) is Tier.STRUCTURAL
    assert verdicts.best_tier([failed, emulated]) is Tier.EMULATED
    assert verdicts.best_tier([emulated, verdict(THERE)]) is Tier.MEASURED


def test_a_hosts_own_word_counts_before_an_emulation() -> None:
    emulated, failed = verdict(STAND_IN, Tier.EMULATED), verdict(HERE, reason="no")
    made = by_host(emulated, failed)
    assert verdicts.decides(made, HERE) is failed
    assert verdicts.decides(made, THERE) is emulated
    assert verdicts.decides(made, None) is emulated
    assert verdicts.decides(by_host(failed), THERE) is None


def test_of_several_emulations_one_that_passed_counts() -> None:
    failed = verdict(THERE, Tier.EMULATED, reason="no")
    passed = verdict(STAND_IN, Tier.EMULATED)
    assert verdicts.decides(by_host(failed, passed), HERE) is passed
    assert verdicts.decides(by_host(passed, failed), HERE) is passed


@pytest.mark.parametrize(
    ("made", "tier", "failure"),
    [
        ([], Tier.STRUCTURAL, ""),
        ([verdict(HERE)], Tier.MEASURED, ""),
        ([verdict(HERE, reason="no"), verdict(THERE)], Tier.MEASURED, "no"),
        ([verdict(THERE)], Tier.EMULATED, ""),
        ([verdict(THERE, reason="no")], Tier.STRUCTURAL, ""),
        ([verdict(STAND_IN, Tier.EMULATED)], Tier.EMULATED, ""),
        ([verdict(STAND_IN, Tier.EMULATED, "no"), verdict(THERE)], Tier.EMULATED, "no"),
    ],
)
def test_a_measurement_elsewhere_is_none_here_and_a_failure_elsewhere_does_not_count(
    made: list[Judged], tier: Tier, failure: str
) -> None:
    found = verdicts.standing(by_host(*made), HERE)
    assert (found.tier, found.failure) == (tier, failure)


def test_variants_are_compared_on_the_wanted_kind_of_host_or_on_the_latest() -> None:
    old, new = verdict(HERE, started="1"), verdict(THERE, started="2")
    told = {CPU.name: by_host(old), INT8.name: by_host(new)}
    assert verdicts.basis([CPU, INT8], told, HERE) == HERE
    assert verdicts.basis([CPU, INT8], told, "elsewhere") == THERE
    assert verdicts.basis([CPU, INT8], told, None) == THERE
    failed = verdict(THERE, started="2", reason="no")
    told[INT8.name] = by_host(failed)
    assert verdicts.basis([CPU, INT8], told, None) == HERE
    assert verdicts.basis([CPU, INT8], told, THERE) == THERE


def test_where_nothing_was_measured_variants_are_compared_on_the_one_that_emulated() -> None:
    emulated = verdict(STAND_IN, Tier.EMULATED, started="9")
    told = {CPU.name: by_host(emulated), INT8.name: by_host(verdict(HERE, reason="no"))}
    assert verdicts.basis([CPU], told, None) == STAND_IN
    assert verdicts.basis([CPU, INT8], told, STAND_IN) == HERE
    assert verdicts.basis([], {}, None) is None


def test_a_target_that_the_matrix_lacks_has_gates_all_the_same() -> None:
    alien = msgspec.structs.replace(CPU, target="alien")
    assert verdicts.gates_of(alien, paper.MATRIX) == verdicts.gates_of(CPU, paper.MATRIX)
