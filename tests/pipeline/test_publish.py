"""What the build publishes: answers, evidence on what passed and on what did not, and what stays."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.evaluate import samples
from tests.pipeline import results
from tests.pipeline.results import ARM, HERE, emulated, made, proven
from tests.selection import releases
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.checkpoint.resolve import OPENAI_NAMES
from whisperopt.evaluate import evidence as evidences
from whisperopt.matrix import Objective
from whisperopt.release import catalog, store
from whisperopt.release import report as reports
from whisperopt.release.catalog import EvidenceEntry
from whisperopt.release.report import Report
from whisperopt.results import folder, projections
from whisperopt.results.variant import VariantResult

WRONG = samples.sample("s1.ogg", cosine=0.5)
BAD = (samples.sample("s0.ogg"), WRONG, samples.sample("s2.ogg"), samples.sample("s3.ogg"))


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return tmp_path / "release"


def published(release: Path, *names: str, refused: str = "", **how: Any) -> Report:
    """Publish variants called `names` of the CPU that were measured here, one perhaps refused."""
    with store.staging(release) as staging:
        written = [made(staging, name, ladder_rank=rank) for rank, name in enumerate(names)]
        judged = [proven(one, *(BAD if one.name == refused else ())) for one in written]
        return results.release(release, judged, staging, **how)


def tell(release: Path, name: str, entry: EvidenceEntry) -> None:
    """Let another machine say something about a variant of the release."""
    known = results.variant(release, name).evidence
    results.amend(release, name, evidence=(*known, entry))


def measured_elsewhere(release: Path, name: str = "cpu-gqa-fp32", **changes: Any) -> None:
    """Let an ARM machine measure a variant of the release."""
    variant = results.variant(release, name)
    found = samples.evidence(variant=name, digest=variant.digest, host_class=ARM, **changes)
    proof = results.grading().judge(variant, found, imported=True)
    assert proof is not None
    proof = msgspec.structs.replace(proof, reasons=())  # by the gates of another time
    folder.write_samples(release, VariantResult(variant=variant, proofs=(proof,)))
    tell(release, name, projections.evidence_entry(proof))


def heard_from(release: Path) -> set[str]:
    """Return the kinds of hosts whose raw samples are in the release."""
    return {
        e.host_class for e in folder.read_evidence([release], results.variant(release)).values()
    }


def test_the_core_models_answers_are_in_the_release(release: Path) -> None:
    published(release, "cpu-gqa-fp32")
    (answers,) = results.entry(release).answers
    read, numbers = folder.read_answers([release], answers)
    assert read == results.ANSWERS
    with np.load(numbers) as arrays:
        assert arrays.files == ["made"]
    assert {path.name for path in (release / "evidence").iterdir()} == {
        answers.document.path,
        answers.references.path,
        Path(results.variant(release).evidence[0].report).name,
    }


def test_without_proof_there_are_no_answers_and_no_evidence(release: Path) -> None:
    with store.staging(release) as staging:
        results.release(release, [made(staging)], staging, answers=None, clip_set=None)
    assert results.entry(release).answers == ()
    assert list((release / "evidence").iterdir()) == []
    assert results.variant(release).tier == Tier.STRUCTURAL


def test_evidence_of_what_was_rejected_is_in_the_release_and_not_in_the_catalog(
    release: Path,
) -> None:
    report = published(release, "cpu-gqa-fp32", "cpu-gqa-int8", refused="cpu-gqa-int8")
    assert [one.name for one in results.entry(release).variants] == ["cpu-gqa-fp32"]
    assert not (release / f"{releases.MODEL}--cpu-gqa-int8").exists()
    (row,) = report.targets
    (refused,) = (one for one in row.candidates if one.name == "cpu-gqa-int8")
    (proof,) = refused.proofs
    assert (proof.accepted, proof.host_class, proof.tier) == (False, HERE, Tier.MEASURED)
    assert proof.reason == refused.reason == "encoder: cosine 0.5 is below 0.9999"
    assert proof.metrics.encoder_cosine == 0.5
    assert proof.metrics.size_bytes == refused.metrics.size_bytes
    assert folder.read_rejected(release, report)["cpu-gqa-int8"].samples[1] == WRONG
    assert reports.read(release) == report


def test_what_was_accepted_says_so_for_its_kind_of_host(release: Path) -> None:
    report = published(release, "cpu-gqa-fp32")
    (proof,) = report.targets[0].candidates[0].proofs
    assert (proof.accepted, proof.reason, proof.host_class) == (True, "", HERE)
    assert proof.imported is False
    (entry,) = results.variant(release).evidence
    assert (entry.report, entry.started) == (proof.report, proof.started)


def test_what_another_machine_said_of_the_very_same_files_survives(release: Path) -> None:
    published(release, "cpu-gqa-fp32")
    measured_elsewhere(release)
    report = published(release, "cpu-gqa-fp32")
    here, there = sorted(
        results.variant(release).evidence, key=lambda one: one.host_class, reverse=True
    )
    assert (here.host_class, there.host_class) == (HERE, ARM)
    assert there.imported
    assert heard_from(release) == {HERE, ARM}
    proofs = report.targets[0].candidates[0].proofs
    assert {(one.host_class, one.imported) for one in proofs} == {(HERE, False), (ARM, True)}


def test_newer_evidence_of_the_same_kind_of_host_takes_the_place_of_older(release: Path) -> None:
    published(release, "cpu-gqa-fp32")
    with store.staging(release) as staging:
        results.release(release, [proven(made(staging), threads=7)], staging)
    (entry,) = results.variant(release).evidence
    assert evidences.read(release / entry.report).threads == 7


def test_what_another_machine_said_of_other_files_does_not_survive(release: Path) -> None:
    published(release, "cpu-gqa-fp32")
    measured_elsewhere(release)
    with store.staging(release) as staging:
        results.release(release, [proven(made(staging, weights=2))], staging)
    (entry,) = results.variant(release).evidence
    assert entry.host_class == HERE
    assert not list((release / "evidence").glob("*arm64*"))


def test_a_crash_elsewhere_survives_too_although_it_left_no_samples(release: Path) -> None:
    published(release, "cpu-gqa-fp32")
    crash = EvidenceEntry(host_class=ARM, tier=Tier.MEASURED, accepted=False, reason="it aborted")
    tell(release, "cpu-gqa-fp32", crash)
    report = published(release, "cpu-gqa-fp32")
    assert crash in results.variant(release).evidence
    (proof,) = (p for p in report.targets[0].candidates[0].proofs if p.host_class == ARM)
    assert (proof.accepted, proof.reason, proof.report) == (False, "it aborted", "")


def test_a_variant_stays_measured_that_another_machine_measured(release: Path) -> None:
    def rebuilt() -> None:
        with store.staging(release) as staging:
            results.release(release, [emulated(made(staging, "cuda-gqa-fp32"))], staging)

    rebuilt()
    assert results.variant(release, "cuda-gqa-fp32").tier == Tier.EMULATED
    measured_elsewhere(release, "cuda-gqa-fp32")
    rebuilt()
    assert results.variant(release, "cuda-gqa-fp32").tier == Tier.MEASURED


def test_a_measurement_elsewhere_that_fails_todays_gates_raises_no_tier(release: Path) -> None:
    with store.staging(release) as staging:
        results.release(release, [emulated(made(staging, "cuda-gqa-fp32"))], staging)
    measured_elsewhere(release, "cuda-gqa-fp32", samples=list(BAD))
    with store.staging(release) as staging:
        results.release(release, [emulated(made(staging, "cuda-gqa-fp32"))], staging)
    assert results.variant(release, "cuda-gqa-fp32").tier == Tier.EMULATED


def test_other_targets_stay_with_their_evidence_accepted_or_rejected(release: Path) -> None:
    published(release, "cpu-gqa-fp32", "cpu-gqa-int8", refused="cpu-gqa-int8")
    with store.staging(release) as staging:
        report = results.release(release, [emulated(made(staging, "cuda-gqa-fp32"))], staging)
    assert {one.name for one in results.entry(release).variants} == {
        "cuda-gqa-fp32",
        "cpu-gqa-fp32",
    }
    assert folder.read_rejected(release, report).keys() >= {"cpu-gqa-int8"}
    (entry,) = results.variant(release).evidence
    assert evidences.read(release / entry.report).variant == "cpu-gqa-fp32"


def test_answers_to_other_clips_stay_and_evidence_on_them_counts(release: Path) -> None:
    published(release, "cpu-gqa-fp32")
    measured_elsewhere(release)
    other = {"clip_set": "other", "clip_digest": "sha256:1"}
    answers = samples.answers(samples.evidence(**other))
    with store.staging(release) as staging:
        results.release(
            release, [proven(made(staging), answers=answers, **other)], staging, answers=answers
        )
    assert {one.clip_set for one in results.entry(release).answers} == {"made", "other"}
    for entry in results.entry(release).answers:
        assert folder.read_answers([release], entry)[0].evidence.clip_set == entry.clip_set
    assert heard_from(release) == {HERE, ARM}


def test_nothing_of_other_weights_survives(release: Path) -> None:
    published(release, "cpu-gqa-fp32")
    measured_elsewhere(release)
    answers = msgspec.structs.replace(results.ANSWERS, checkpoint="sha256:" + "1" * 64)
    published(release, "cpu-gqa-fp32", answers=answers, checkpoint=answers.checkpoint)
    (entry,) = results.variant(release).evidence
    assert entry.host_class == HERE
    (kept,) = results.entry(release).answers
    assert folder.read_answers([release], kept)[0].checkpoint == answers.checkpoint


def test_the_catalog_says_what_later_verdicts_and_choices_rest_on(release: Path) -> None:
    with store.staging(release) as staging:
        mixed = made(staging, precisions=("fp32", "int8"), objective=Objective(goal="size"))
        results.release(release, [proven(mixed)], staging)
    found = results.variant(release)
    assert found.precisions == ("fp32", "int8")
    assert found.objective.goal == "size"


@pytest.mark.parametrize(
    "host_class",
    [
        "linux-x86_64-amd-avx2-onnxruntime-1.27.0",
        "windows-x86_64-nvidia-sm120-onnxruntime-directml-1.24.4+cu128.dev20260101",
        "linux-arm64-0x61 unknown/part-neon-openvino-2026.4.1-22000-abcdef",
    ],
)
@pytest.mark.parametrize("model", [max(OPENAI_NAMES, key=len), "x" * 80])
def test_evidence_of_any_host_has_a_name_that_catalogs_take(
    tmp_path: Path, small_artifact: Artifact, model: str, host_class: str
) -> None:
    (tmp_path / folder.EVIDENCE).mkdir()
    recipe = msgspec.structs.replace(small_artifact.manifest.recipe, name="decomposed-fp16")
    manifest = msgspec.structs.replace(
        small_artifact.manifest, model=model, target="tensorrt", recipe=recipe
    )
    found = samples.evidence(variant=manifest.variant, host_class=host_class)
    variant = releases.variant("tensorrt-decomposed-fp16")
    known = msgspec.structs.replace(results.grading(), model=model)
    proof = known.judge(variant, found)
    assert proof is not None
    folder.write_samples(tmp_path, VariantResult(variant=variant, proofs=(proof,)))
    entry = projections.evidence_entry(proof)
    assert evidences.read(tmp_path / entry.report) == found
    holds = releases.catalog(msgspec.structs.replace(variant, evidence=(entry,)))
    assert catalog.parse(catalog.encode(holds), "catalog") == holds
