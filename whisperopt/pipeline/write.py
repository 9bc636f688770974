"""Writes catalog, samples, answers and report of a release, and puts them in place."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from whisperopt.release import catalog, store
from whisperopt.release import report as reports
from whisperopt.release.catalog import Catalog, ModelEntry
from whisperopt.release.report import CandidateReport, Report, TargetReport
from whisperopt.report import of_release as page
from whisperopt.report.page import FILE
from whisperopt.results import folder, projections
from whisperopt.results.grading import GradingContext
from whisperopt.results.variant import VariantResult, basis
from whisperopt.selection.rank import rank


def recorded(
    staging: Path, grading: GradingContext, results: Sequence[VariantResult]
) -> ModelEntry:
    """Write the samples behind `results` and the answers behind those; return the catalog's entry."""
    for result in results:
        folder.write_samples(staging, result)
    answers = {known.clip_digest: known for known in grading.entry.answers}
    for digest, (document, references) in grading.answers.items():
        if digest not in answers:
            answers[digest] = folder.record_answers(staging, document, references)
    variants = tuple(map(projections.catalog_variant, results))
    return msgspec.structs.replace(
        grading.entry, variants=variants, answers=tuple(answers.values())
    )


def ranked(
    report: Report, results: Sequence[VariantResult], deciding: Mapping[str, str]
) -> Report:
    """Rank every target anew; `deciding` names the kind of host that counts, by target."""
    rows = tuple(
        _ranked(row, [result for result in results if result.variant.target == row.name], deciding)
        for row in report.targets
    )
    return msgspec.structs.replace(report, targets=rows)


def _ranked(
    row: TargetReport, results: Sequence[VariantResult], deciding: Mapping[str, str]
) -> TargetReport:
    if not results:
        return row
    before = {candidate.name: candidate for candidate in row.candidates}
    host_class = basis(results, deciding.get(row.name, row.host_class))
    known = [_remembered(result, before.get(result.name)) for result in results]
    found = rank(known, results[0].variant.objective, host_class)
    return projections.target(row, found, host_class)


def _remembered(result: VariantResult, before: CandidateReport | None) -> VariantResult:
    """Return `result` with what only the build that made it could tell."""
    if before is None or result.how:
        return result
    return msgspec.structs.replace(
        result, how=before.how, conditions=before.conditions, rehearsals=before.rehearsals
    )


def commit(
    staging: Path,
    release: Path,
    content: Catalog,
    report: Report | None,
    shown: tuple[GradingContext, Sequence[VariantResult]] | None,
) -> None:
    """Put a new state of `release` in place: `content`, and the report with what is `shown` in it.

    What both name and `staging` lacks is taken over from `release`.
    """
    for scratch in staging.glob(".proof*"):
        shutil.rmtree(scratch, ignore_errors=True)
    folder.keep(release, staging, content.models.values(), report)
    (staging / catalog.NAME).write_bytes(catalog.encode(content))
    if report is not None and shown is not None:
        (staging / reports.NAME).write_bytes(reports.encode(report))
        (staging / FILE).write_text(page.render(staging, report, *shown), "utf-8")
    store.commit(staging, release)
