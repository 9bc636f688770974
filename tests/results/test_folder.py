"""The folder of raw samples: what is written there, what is kept, and what is not believed."""

import hashlib
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluate import samples
from tests.results import paper
from tests.results.paper import CPU, HERE, MODEL, THERE
from tests.selection import releases
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.evaluate import evidence as evidences
from whisperopt.evaluate.evidence import Evidence, Metrics
from whisperopt.evaluate.metrics import measure
from whisperopt.reasons import because
from whisperopt.release import catalog
from whisperopt.release.catalog import EvidenceEntry
from whisperopt.release.report import Report
from whisperopt.results import folder, projections
from whisperopt.results.variant import Proof, VariantResult

METRICS = measure(samples.evidence(), samples.answers())


def recorded(
    staging: Path, made: Evidence, metrics: Metrics = METRICS, **changes: Any
) -> EvidenceEntry:
    """Write samples as a release has them, and return their entry in the catalog."""
    facts = {
        "host_class": made.host_class,
        "tier": made.tier,
        "evidence": made,
        "metrics": metrics,
        "report": folder.path_of(MODEL, made),
    }
    proof = Proof(**(facts | changes))
    folder.write_samples(staging, VariantResult(variant=CPU, proofs=(proof,)))
    return projections.evidence_entry(proof)


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """A folder that a release grows in."""
    made = tmp_path / "staging"
    (made / folder.EVIDENCE).mkdir(parents=True)
    return made


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release on paper with one variant."""
    made = tmp_path / "release"
    paper.write(made, (CPU, [paper.proof(CPU)]))
    return made


def entry_of(release: Path) -> EvidenceEntry:
    (variant,) = catalog.read(release).models[MODEL].variants
    (entry,) = variant.evidence
    return entry


def test_an_entry_says_what_its_file_holds(staging: Path) -> None:
    made = paper.proof(CPU, rounds=[90, 100, 110])
    metrics = measure(made, samples.answers())
    entry = recorded(staging, made, metrics, imported=True)
    assert evidences.read(staging / entry.report) == made
    assert (entry.accepted, entry.imported, entry.host_class) == (True, True, HERE)
    assert entry.latency_ms_p50 == 100
    assert entry.latency_ms_interval == metrics.latency_ms_interval
    refused = recorded(staging, made, metrics, reasons=(because("recorded.text", "WER"),))
    assert refused.reason == "WER"


def test_newer_evidence_of_one_kind_of_host_takes_the_place_of_older(staging: Path) -> None:
    for ms in (100, 50):
        made = paper.proof(CPU, ms)
        entry = recorded(staging, made)
    (file,) = (staging / folder.EVIDENCE).iterdir()
    assert evidences.read(file) == made
    assert file == staging / entry.report


def test_kinds_of_host_with_similar_names_have_files_of_their_own(staging: Path) -> None:
    """An imported host class could otherwise take the place of another's samples."""
    for version in ("1.2-a", "1.2+a", "1.2!a", "1.2 a"):
        made = paper.proof(CPU, host_class=f"linux-x86_64-amd-avx2-onnxruntime-{version}")
        entry = recorded(staging, made)
        assert evidences.read(staging / entry.report) == made
    assert len(list((staging / folder.EVIDENCE).iterdir())) == 4


@pytest.mark.parametrize(
    "numbers",
    [
        {"latency_ms_p50": math.inf, "latency_ms_interval": (math.inf, math.inf)},
        {"throughput": 0.0, "throughput_interval": (0.0, 0.0)},
        {"rtfx": 0.0, "peak_rss_mb": 0.0},
    ],
)
def test_numbers_that_no_catalog_holds_are_left_out(
    staging: Path, numbers: dict[str, float]
) -> None:
    """A race of which no round counts has such: the whole release could not be read again."""
    metrics = msgspec.structs.replace(METRICS, **numbers)
    entry = recorded(staging, paper.proof(CPU), metrics)
    assert all(getattr(entry, name) is None for name in numbers)
    made = releases.catalog(msgspec.structs.replace(CPU, evidence=(entry,)))
    assert catalog.parse(catalog.encode(made), "it") == made


# Reading back


def test_answers_are_read_back(release: Path) -> None:
    (entry,) = catalog.read(release).models[MODEL].answers
    answers, references = folder.read_answers([release], entry)
    assert answers == samples.answers()
    assert hashlib.sha256(references.read_bytes()).hexdigest() == entry.references.sha256


@pytest.mark.parametrize("which", ["document", "references"])
def test_damaged_answers_are_refused_and_missing_ones_named(release: Path, which: str) -> None:
    (entry,) = catalog.read(release).models[MODEL].answers
    path = release / folder.EVIDENCE / getattr(entry, which).path
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(IntegrityError, match=f"{path.name} is not the file that the catalog"):
        folder.read_answers([release], entry)
    path.unlink()
    with pytest.raises(BadInputError, match=f"lacks evidence/{path.name}"):
        folder.read_answers([release], entry)


@pytest.mark.parametrize("damage", [b"{", b"\xff\xfe", b"[" * 100_000, b"{}", b""])
def test_answers_that_were_rehashed_but_are_none_are_refused(release: Path, damage: bytes) -> None:
    (entry,) = catalog.read(release).models[MODEL].answers
    path = release / folder.EVIDENCE / entry.document.path
    path.write_bytes(damage)
    entry = msgspec.structs.replace(entry, document=catalog.describe(path))
    with pytest.raises(IntegrityError, match="cannot be understood"):
        folder.read_answers([release], entry)


def test_samples_are_read_back_by_their_path(release: Path) -> None:
    (variant,) = catalog.read(release).models[MODEL].variants
    found = folder.read_evidence([release], variant)
    assert found == {entry_of(release).report: paper.proof(CPU)}


@pytest.mark.parametrize("damage", [b"{", b"\xff\xfe", b"[" * 100_000, b"", None])
def test_damaged_samples_stand_for_nothing(release: Path, damage: bytes | None) -> None:
    (variant,) = catalog.read(release).models[MODEL].variants
    path = release / entry_of(release).report
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert folder.read_evidence([release], variant) == {}


@pytest.mark.parametrize(
    "changes", [{"digest": "sha256:1"}, {"variant": "cpu-gqa-int8"}], ids=["digest", "variant"]
)
def test_samples_of_other_files_stand_for_nothing(release: Path, changes: dict[str, str]) -> None:
    (variant,) = catalog.read(release).models[MODEL].variants
    made = msgspec.structs.replace(paper.proof(CPU), **changes)
    evidences.write(release / entry_of(release).report, made)
    assert folder.read_evidence([release], variant) == {}


def test_samples_of_another_schema_stand_for_nothing(release: Path) -> None:
    (variant,) = catalog.read(release).models[MODEL].variants
    path = release / entry_of(release).report
    path.write_bytes(path.read_bytes().replace(b'"schema":"1.4"', b'"schema":"1.0"'))
    assert folder.read_evidence([release], variant) == {}


def test_a_link_out_of_the_release_is_not_followed(release: Path, tmp_path: Path) -> None:
    (variant,) = catalog.read(release).models[MODEL].variants
    path = release / entry_of(release).report
    path.replace(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    assert folder.read_evidence([release], variant) == {}


def test_a_folder_that_links_out_of_the_release_is_not_followed(
    release: Path, staging: Path, tmp_path: Path
) -> None:
    entry = catalog.read(release).models[MODEL]
    (release / folder.EVIDENCE).replace(tmp_path / "elsewhere")
    (release / folder.EVIDENCE).symlink_to(tmp_path / "elsewhere")
    assert folder.read_evidence([release], entry.variants[0]) == {}
    with pytest.raises(BadInputError, match="lacks evidence"):
        folder.read_answers([release], entry.answers[0])
    folder.keep(release, staging, [entry], None)
    assert list((staging / folder.EVIDENCE).iterdir()) == []


# Keeping


def named(report: Report, path: str) -> Report:
    """Let the proof of the first candidate name another file."""
    row = report.targets[0]
    one = row.candidates[0]
    proofs = (msgspec.structs.replace(one.proofs[0], report=path),)
    one = msgspec.structs.replace(one, proofs=proofs)
    row = msgspec.structs.replace(row, candidates=(one, *row.candidates[1:]))
    return msgspec.structs.replace(report, targets=(row,))


def test_what_is_named_is_kept_and_what_is_there_stays(release: Path, staging: Path) -> None:
    entry = catalog.read(release).models[MODEL]
    new = staging / entry_of(release).report
    new.write_text("newer")
    folder.keep(release, staging, [entry], None)
    assert new.read_text() == "newer"
    (answers,) = entry.answers
    kept = {path.name for path in (staging / folder.EVIDENCE).iterdir()}
    assert kept == {new.name, answers.document.path, answers.references.path}


@pytest.mark.parametrize(
    "path",
    ["../stolen", "evidence/../../stolen", "catalog.json", "evidence/a/b", "evidence/..", "{}"],
)
def test_a_report_that_names_files_elsewhere_moves_none(
    tmp_path: Path, staging: Path, path: str
) -> None:
    """A fetched release may hold any report."""
    report = paper.write(tmp_path / "release", (CPU, [paper.proof(CPU)]))
    (tmp_path / "stolen").write_text("secret")
    report = named(report, path.format(tmp_path / "stolen"))
    before = sorted(path for path in tmp_path.rglob("*") if "release" not in path.parts)
    folder.keep(tmp_path / "release", staging, [], report)
    assert folder.read_rejected(tmp_path / "release", report) == {}
    assert before == sorted(path for path in tmp_path.rglob("*") if "release" not in path.parts)


def test_samples_of_the_rejected_are_kept_and_read(tmp_path: Path, staging: Path) -> None:
    proofs = [paper.proof(CPU), paper.proof(CPU, 50, THERE)]
    report = paper.write(tmp_path / "release", (CPU, proofs))
    folder.keep(tmp_path / "release", staging, [], report)
    assert folder.read_rejected(staging, report) == {CPU.name: proofs[1]}
