"""The rows of a report follow from what is known of variants, and the page from nothing else."""

from pathlib import Path

import msgspec
import pytest

from tests.results import paper
from tests.results.paper import CPU, EMULATED, HERE, INT8, STAND_IN, THERE, proof
from tests.selection import releases
from whisperopt.backend import Tier
from whisperopt.matrix import Objective
from whisperopt.pipeline import write
from whisperopt.release.report import CandidateReport, Report
from whisperopt.report import page
from whisperopt.results.variant import VariantResult

RISKY = releases.variant(
    "cpu-risky", ladder_rank=2, selectable_from=Tier.MEASURED, caution="drivers differ"
)


def row(report: Report) -> dict[str, CandidateReport]:
    (only,) = report.targets
    return {one.name: one for one in only.candidates}


def test_the_fastest_on_the_kind_of_host_that_decides_is_selected(tmp_path: Path) -> None:
    paper.write(
        tmp_path,
        (CPU, [proof(CPU, 100), proof(CPU, 300, THERE)]),
        (INT8, [proof(INT8, 200), proof(INT8, 100, THERE)]),
    )
    known = paper.replayed(tmp_path)
    for host_class, best in ((HERE, CPU), (THERE, INT8)):
        found = write.ranked(paper.blank(), known, {"cpu": host_class})
        (only,) = found.targets
        assert (only.selected, only.host_class) == (best.name, host_class)
        assert row(found)[best.name].metrics.latency_ms_p50 == 100
        assert row(found)[best.name].fate == "selected"


def test_without_a_wish_the_kind_of_host_stays(tmp_path: Path) -> None:
    proofs = [proof(CPU, started="2026-01-01T00:00:00+00:00")]
    proofs += [proof(CPU, 50, THERE, started="2026-02-01T00:00:00+00:00")]
    paper.write(tmp_path, (CPU, proofs))
    known = paper.replayed(tmp_path)
    for before, now in ((HERE, HERE), (None, THERE), ("gone", THERE)):
        found = write.ranked(paper.blank(before), known, {})
        assert found.targets[0].host_class == now


def test_every_fate_has_its_reason(tmp_path: Path) -> None:
    slow = releases.variant("cpu-slow", ladder_rank=3, size=900)
    bad = releases.variant("cpu-bad", ladder_rank=4)
    report = paper.write(
        tmp_path,
        (RISKY, [proof(RISKY, **EMULATED)]),
        (bad, [proof(bad, right=False)]),
        (slow, [proof(slow, 200)]),
        (CPU, [proof(CPU, 100)]),
    )
    fates = {name: one.fate for name, one in row(report).items()}
    assert list(fates.items()) == [
        ("cpu-gqa-fp32", "selected"),
        ("cpu-slow", "accepted"),
        ("cpu-risky", "waits"),
        ("cpu-bad", "rejected"),
    ]
    assert row(report)["cpu-slow"].reason == "100 % slower"
    assert "once measured: drivers differ" in row(report)["cpu-risky"].reason
    assert "WER increase" in row(report)["cpu-bad"].reason


def test_what_has_no_files_any_more_stays_as_the_build_saw_it(tmp_path: Path) -> None:
    report = paper.write(tmp_path, (CPU, [proof(CPU)]), (INT8, [proof(INT8, right=False)]))
    found = write.ranked(report, paper.replayed(tmp_path)[:1], {})
    assert row(found)[INT8.name] == row(report)[INT8.name]
    assert found == report


def test_a_target_without_any_variant_stays(tmp_path: Path) -> None:
    report = paper.write(tmp_path, (CPU, [proof(CPU)]))
    assert write.ranked(report, [], {}) == report


def test_the_objective_of_the_variants_decides(tmp_path: Path) -> None:
    aimed = [msgspec.structs.replace(one, objective=Objective(goal="size")) for one in (CPU, INT8)]
    told = ((one, [proof(one, ms)]) for one, ms in zip(aimed, (100, 900), strict=True))
    (only,) = paper.write(tmp_path, *told).targets
    assert (only.selected, only.objective) == (INT8.name, "size")


def test_what_a_build_knew_beyond_the_run_stays(tmp_path: Path) -> None:
    report = paper.write(tmp_path, (CPU, [proof(CPU)]))
    (only,) = report.targets
    how = "every node; 89 of 89 weights; the cpu backend"
    one = msgspec.structs.replace(only.candidates[0], how=how, conditions=("batch 1",))
    only = msgspec.structs.replace(only, candidates=(one,))
    report = msgspec.structs.replace(report, targets=(only,))
    found = row(write.ranked(report, paper.replayed(tmp_path), {}))[CPU.name]
    assert (found.how, found.conditions) == (how, ("batch 1",))


def test_every_kind_of_host_is_reported_with_its_own_numbers(tmp_path: Path) -> None:
    proofs = [proof(CPU, 100), proof(CPU, 300, THERE, right=False), proof(CPU, 9, **EMULATED)]
    told = row(paper.write(tmp_path, (CPU, proofs)))[CPU.name].proofs
    assert {one.host_class: one.metrics.latency_ms_p50 for one in told} == {
        HERE: 100,
        THERE: 300,
        STAND_IN: 9,
    }
    assert [one.accepted for one in told] == [True, False, True]
    assert all((tmp_path / one.report).is_file() for one in told)
    assert all(one.metrics.size_bytes == CPU.size for one in told)


# The page


def rendered(release: Path, report: Report) -> str:
    return page.of_release(release, report, paper.context(release), paper.replayed(release))


def test_the_page_is_made_from_nothing_but_the_release(tmp_path: Path) -> None:
    report = paper.write(tmp_path / "a", (CPU, [proof(CPU)]), (INT8, [proof(INT8, 300)]))
    text = rendered(tmp_path / "a", report)
    (tmp_path / "a").rename(tmp_path / "b")
    assert rendered(tmp_path / "b", report) == text
    assert "gqa-int8" in text
    assert "the quick brown fox" not in text or "heard" in text


def test_the_page_shows_the_samples_of_the_host_that_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proofs = [proof(CPU, 100), proof(CPU, 300, THERE)]
    report = paper.write(tmp_path, (CPU, proofs), (INT8, []))
    shown = {}
    monkeypatch.setattr(page, "render", lambda _, samples, *__, **___: shown.update(samples))
    for host_class, made in zip((HERE, THERE), proofs, strict=True):
        (only,) = report.targets
        only = msgspec.structs.replace(only, host_class=host_class)
        rendered(tmp_path, msgspec.structs.replace(report, targets=(only,)))
        assert shown == {CPU.name: made}


def test_the_page_bears_a_release_without_any_samples(tmp_path: Path) -> None:
    report = paper.write(tmp_path, (CPU, [proof(CPU)]))
    known = msgspec.structs.replace(paper.context(tmp_path), answers={})
    bare = [VariantResult(variant=CPU, model=paper.MODEL)]
    assert "gqa-fp32" in page.of_release(tmp_path, report, known, bare)
