"""The rows of a report, from a catalog and the verdicts on its variants."""

from collections.abc import Mapping, Sequence

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate.metrics import Metrics
from whisperopt.matrix import Objective
from whisperopt.release.catalog import EvidenceEntry, ModelEntry, Variant
from whisperopt.release.report import (
    CandidateReport,
    Fate,
    ProofReport,
    Report,
    TargetReport,
)
from whisperopt.results.folder import numbers
from whisperopt.results.verdicts import Judged, basis, candidate, decides, standing
from whisperopt.selection import select
from whisperopt.selection.select import Ranked

Verdicts = Mapping[str, Mapping[str, Judged]]
"""By variant, and then by the kind of host."""


def updated(
    report: Report, entry: ModelEntry, verdicts: Verdicts, wanted: Mapping[str, str]
) -> Report:
    """Rank every target anew; `wanted` names the kind of host that decides, by target.

    What the build rejected has no files any more, and stays as the build saw it.
    """
    rows = []
    for row in report.targets:
        own = [variant for variant in entry.variants if variant.target == row.name]
        decisive = basis(own, verdicts, wanted.get(row.name, row.host_class))
        rows.append(_row(row, own, verdicts, decisive))
    return msgspec.structs.replace(report, targets=tuple(rows))


def with_proofs(report: Report, entry: ModelEntry, verdicts: Verdicts) -> Report:
    """Add to every released candidate what each kind of host has to say about it."""
    entries = {v.name: {e.host_class: e for e in v.evidence} for v in entry.variants}
    sizes = {v.name: v.size for v in entry.variants}

    def proven(one: CandidateReport) -> CandidateReport:
        if one.name not in entries:
            return one
        told = tuple(
            proof_report(entries[one.name][host_class], judged.metrics, sizes[one.name])
            for host_class, judged in verdicts[one.name].items()
        )
        return msgspec.structs.replace(one, proofs=told)

    rows = (
        msgspec.structs.replace(row, candidates=tuple(map(proven, row.candidates)))
        for row in report.targets
    )
    return msgspec.structs.replace(report, targets=tuple(rows))


def proof_report(entry: EvidenceEntry, metrics: Metrics | None, size_bytes: int) -> ProofReport:
    """Return the row of one kind of host, whose samples add up to `metrics`."""
    return ProofReport(
        host_class=entry.host_class,
        tier=Tier(entry.tier),
        accepted=entry.accepted,
        reason=entry.reason,
        started=entry.started,
        imported=entry.imported,
        metrics=numbers(metrics, size_bytes),
        report=entry.report,
    )


def _row(
    row: TargetReport, variants: Sequence[Variant], verdicts: Verdicts, decisive: str | None
) -> TargetReport:
    if not variants:
        return row
    objective: Objective = variants[0].objective
    ranked = select.select(
        [candidate(variant) for variant in variants],
        {variant.name: standing(verdicts[variant.name], decisive) for variant in variants},
        objective,
    )
    known = {one.name: one for one in row.candidates}
    by_name = {variant.name: variant for variant in variants}
    released = tuple(
        _candidate(one, by_name[one.name], known.get(one.name), verdicts[one.name], decisive)
        for one in ranked
    )
    best = next((one for one in released if one.fate == "selected"), None)
    accepted = [one for one in released if one.accepted]
    others = [one for one in released if not one.accepted]
    others += [one for one in row.candidates if one.name not in by_name]
    others.sort(key=lambda one: (one.ladder_rank, one.name))
    return msgspec.structs.replace(
        row,
        selected=best.name if best else None,
        tier=best.tier if best else None,
        objective=str(objective),
        host_class=decisive,
        candidates=(*accepted, *others),
    )


def _candidate(
    ranked: Ranked,
    variant: Variant,
    before: CandidateReport | None,
    judged: Mapping[str, Judged],
    decisive: str | None,
) -> CandidateReport:
    now = decides(judged, decisive)
    return CandidateReport(
        name=variant.name,
        ladder_rank=variant.ladder_rank,
        fate=_fate(ranked, variant, judged, decisive),
        accepted=ranked.accepted,
        reason=ranked.reason,
        notes=now.verdict.notes if now and now.verdict else (),
        pareto=ranked.pareto,
        tier=standing(judged, decisive).tier,
        how=_how(now, before),
        conditions=before.conditions if before else (),
        rehearsals=before.rehearsals if before else (),
        metrics=numbers(now.metrics if now else None, variant.size),
    )


def _how(now: Judged | None, before: CandidateReport | None) -> str:
    """Say what the tier rests on; only a build knows what came before the run."""
    said = before.how if before else ""
    if now is None or now.evidence is None or said.endswith(now.evidence.how):
        return said
    return now.evidence.how


def _fate(
    ranked: Ranked, variant: Variant, judged: Mapping[str, Judged], decisive: str | None
) -> Fate:
    if ranked.accepted:
        return "selected" if ranked.selected else "accepted"
    held = select.held(candidate(variant), standing(judged, decisive))
    return "waits" if held else "rejected"
