"""Turns ranked lots into the report."""

from collections.abc import Sequence
from datetime import UTC, datetime

from whisperopt import __version__
from whisperopt.builder.line import Line
from whisperopt.builder.outcome import Lot, Outcome
from whisperopt.proof import gates
from whisperopt.release.report import CandidateMetrics, CandidateReport, Report, TargetReport
from whisperopt.select import Ranked


def summarize(line: Line, lots: Sequence[Lot], seconds: float) -> Report:
    """Return what the build did."""
    checkpoint = line.core.checkpoint
    core_wer = None
    if line.case is not None and line.clip_set is not None:
        core_wer = gates.measure(line.case.core, line.case.core, line.clip_set).wer
    return Report(
        whisperopt=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=checkpoint.name,
        source=checkpoint.source,
        checkpoint=checkpoint.digest(),
        core_wer=core_wer,
        clip_set=line.clip_set.name if line.clip_set else None,
        seconds=seconds,
        host=line.host,
        targets=tuple(_target(lot) for lot in lots),
    )


def _target(lot: Lot) -> TargetReport:
    best = next((ranked for ranked in lot.ranked if ranked.selected), None)
    found = lot.probe
    runtime = found.reason or f"{found.runtime} {found.version}"
    return TargetReport(
        name=lot.target.name,
        backend=lot.backend.name,
        runtime=runtime,
        required=lot.target.ci.required,
        selected=best.name if best else None,
        tier=lot.outcome(best.name).tier if best else None,
        candidates=tuple(_candidate(ranked, lot.outcome(ranked.name)) for ranked in lot.ranked),
    )


def _candidate(ranked: Ranked, outcome: Outcome) -> CandidateReport:
    size = sum(file.size for file in outcome.files)
    metrics = outcome.metrics
    if metrics is None:
        numbers = CandidateMetrics(size_bytes=size)
    else:
        numbers = CandidateMetrics(
            size_bytes=size,
            **{
                name: getattr(metrics, name)
                for name in CandidateMetrics.__struct_fields__
                if name != "size_bytes"
            },
        )
    return CandidateReport(
        name=ranked.name,
        accepted=ranked.accepted,
        reason=ranked.reason,
        tier=outcome.tier,
        how=outcome.how,
        conditions=outcome.conditions,
        rehearsals=outcome.rehearsals,
        metrics=numbers,
    )
