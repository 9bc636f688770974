"""Writes `report.html` into the staging folder, beside the report that it shows."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from whisperopt.builder.outcome import Lot
from whisperopt.matrix import Matrix
from whisperopt.proof import evidence as evidences
from whisperopt.proof.case import Case
from whisperopt.proof.evidence import Evidence
from whisperopt.release.report import Report
from whisperopt.report import page


def write_page(
    folder: Path, report: Report, *, lots: Sequence[Lot], case: Case | None, matrix: Matrix
) -> None:
    """Show `report` with the raw samples of this build and of the targets that were kept."""
    samples = _kept(folder / "evidence", report.model)
    for lot in lots:
        for outcome in lot.outcomes:
            if outcome.evidence is not None:
                samples[outcome.manifest.variant] = outcome.evidence
    text = page.render(
        report,
        samples,
        case.core if case else None,
        clip_set=case.clip_set if case else None,
        gates={target.name: target.gates for target in matrix.targets},
    )
    (folder / page.FILE).write_text(text, "utf-8")


def _kept(folder: Path, model: str) -> dict[str, Evidence]:
    found = {}
    for path in sorted(folder.glob(f"{model}--*.json")):
        try:
            one = evidences.read(path)
        except msgspec.DecodeError:  # of another version: the catalog has its verdict
            continue
        found[one.variant] = one
    return found
