"""Turns ranked lots into the report."""

from collections.abc import Sequence
from datetime import UTC, datetime

from whisperopt import __version__
from whisperopt.evaluate.metrics import measure
from whisperopt.pipeline.line import Line
from whisperopt.release.report import CandidateReport, Fate, Report, TargetReport
from whisperopt.results.folder import numbers
from whisperopt.results.outcome import Lot, Outcome
from whisperopt.selection import select
from whisperopt.selection.select import Ranked


def summarize(line: Line, lots: Sequence[Lot], seconds: float) -> Report:
    """Return what the build did."""
    checkpoint = line.core.checkpoint
    core_wer = None
    if line.case is not None:
        core_wer = measure(line.case.answers.evidence, line.case.answers).wer
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
    ranked = lot.ranked
    best = next((one for one in ranked if one.selected), None)
    found = lot.probe
    runtime = found.reason or f"{found.runtime} {found.version}"
    decisive = lot.outcome(best.name).evidence if best else None
    return TargetReport(
        name=lot.target.name,
        backend=lot.backend.name,
        runtime=runtime,
        required=lot.target.ci.required,
        selected=best.name if best else None,
        tier=lot.outcome(best.name).tier if best else None,
        objective=str(lot.target.objective),
        host_class=decisive.host_class if decisive else None,
        candidates=tuple(_candidate(one, lot.outcome(one.name)) for one in ranked),
    )


def _candidate(ranked: Ranked, outcome: Outcome) -> CandidateReport:
    return CandidateReport(
        name=ranked.name,
        ladder_rank=outcome.ladder_rank,
        fate=_fate(ranked, outcome),
        accepted=ranked.accepted,
        reason=ranked.reason,
        notes=outcome.notes,
        pareto=ranked.pareto,
        tier=outcome.tier,
        how=outcome.how,
        conditions=outcome.conditions,
        rehearsals=outcome.rehearsals,
        metrics=numbers(outcome.metrics, sum(file.size for file in outcome.files)),
    )


def _fate(ranked: Ranked, outcome: Outcome) -> Fate:
    if ranked.accepted:
        return "selected" if ranked.selected else "accepted"
    if not outcome.needed:
        return "not needed"
    return "waits" if select.held(outcome.candidate, outcome.standing) else "rejected"
