"""What documents say of a variant: pure functions from what is known of it to entries and rows."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate.evidence import Metrics
from whisperopt.release.catalog import EvidenceEntry, Variant
from whisperopt.release.report import (
    MEASURED_ONLY,
    CandidateMetrics,
    CandidateReport,
    Fate,
    ProofReport,
    TargetReport,
)
from whisperopt.results.validation import Origin, Row
from whisperopt.results.variant import Proof, VariantResult

if TYPE_CHECKING:
    from whisperopt.selection.rank import Ranked

_SAID = ("host_class", "tier", "accepted", "reason", "started", "imported")
"""What catalog and report say alike of a proof."""


def catalog_variant(result: VariantResult) -> Variant:
    """Return the catalog's entry of a variant."""
    entries = tuple(map(evidence_entry, result.proofs))
    return msgspec.structs.replace(result.variant, tier=result.best_tier, evidence=entries)


def evidence_entry(proof: Proof) -> EvidenceEntry:
    """Return the catalog's entry of one kind of host; one that left no samples has no numbers."""
    metrics = proof.metrics
    said = {name: getattr(proof, name) for name in _SAID}
    if metrics is None:
        return EvidenceEntry(**said)
    times = {name: _sound(getattr(metrics, name)) for name in MEASURED_ONLY}
    return EvidenceEntry(
        **said, **times, wer_delta=metrics.wer_delta, report=proof.report, stride=proof.stride
    )


def proof_report(proof: Proof, size_bytes: int) -> ProofReport:
    """Return the report's row of one kind of host."""
    return ProofReport(
        **{name: getattr(proof, name) for name in _SAID},
        metrics=numbers(proof.metrics, size_bytes),
        report=proof.report if proof.evidence else "",
    )


def released(ranked: "Ranked", host_class: str | None) -> CandidateReport:
    """Return the report's entry of a variant that is in the release, as `host_class` sees it."""
    result = ranked.result
    return _candidate(
        result,
        result.decisive(host_class),
        fate=_fate(ranked),
        accepted=ranked.accepted,
        reason=str(ranked.reason),
        pareto=ranked.pareto,
        tier=result.standing(host_class).tier,
        proofs=tuple(proof_report(proof, result.variant.size) for proof in result.proofs),
    )


def unreleased(result: VariantResult) -> CandidateReport:
    """Return the report's entry of a variant that a build made, or need not make, and left out."""
    proof = result.proofs[0] if result.proofs else None
    if result.skipped:
        return _candidate(result, proof, fate="not needed", reason=str(result.skipped))
    if proof is None or proof.evidence is None:
        return _candidate(result, proof)
    shown = (proof_report(proof, result.variant.size),)
    return _candidate(result, proof, tier=proof.tier, proofs=shown)


def _candidate(result: VariantResult, proof: Proof | None, **known: Any) -> CandidateReport:
    """Return what the report says of a variant by `proof`: it is rejected, if no more is `known`."""
    how = result.how
    if proof and proof.evidence and not how.endswith(proof.evidence.how):
        how = proof.evidence.how  # only a build knows what came before the run
    facts: dict[str, Any] = {
        "fate": "rejected",
        "accepted": False,
        "reason": proof.reason if proof else "",
        "tier": Tier.STRUCTURAL if "structure" in result.passed else None,
    }
    return CandidateReport(
        name=result.name,
        ladder_rank=result.variant.ladder_rank,
        notes=proof.notes if proof else (),
        how=how,
        conditions=result.conditions,
        rehearsals=result.rehearsals,
        metrics=numbers(proof.metrics if proof else None, result.variant.size),
        **facts | known,
    )


def target(row: TargetReport, ranked: "Sequence[Ranked]", host_class: str | None) -> TargetReport:
    """Return the report's row of a target whose released variants are `ranked` now.

    What the build left out has no files any more, and stays as the build saw it.
    """
    if not ranked:
        return row
    candidates = [released(one, host_class) for one in ranked]
    accepted = [entry for entry in candidates if entry.accepted]
    names = {entry.name for entry in candidates}
    others = [entry for entry in candidates if not entry.accepted]
    others += [entry for entry in row.candidates if entry.name not in names]
    others.sort(key=lambda entry: (entry.ladder_rank, entry.name))
    best = next((entry for entry in accepted if entry.fate == "selected"), None)
    return msgspec.structs.replace(
        row,
        selected=best.name if best else None,
        tier=best.tier if best else None,
        objective=str(ranked[0].result.variant.objective),
        host_class=host_class,
        candidates=(*accepted, *others),
    )


def validation_row(result: VariantResult, known: VariantResult | None) -> Row:
    """Return what a validation says of a variant: what was found now, and what is `known` by it."""
    proof = known.of(result.host_class) if known and result.proofs else None
    return Row(
        model=result.model,
        variant=result.name,
        target=result.variant.target,
        source=_source(result),
        host_class=result.host_class,
        tier=proof.tier if proof else None,
        accepted=proof.accepted if proof else None,
        reason=proof.reason if proof else str(result.skipped or ""),
        notes=proof.notes if proof else (),
        metrics=numbers(proof.metrics, result.variant.size) if proof else None,
    )


def numbers(metrics: Metrics | None, size_bytes: int) -> CandidateMetrics:
    """Return the part of `metrics` that the report shows."""
    found = metrics or CandidateMetrics()
    shown = {name: getattr(found, name) for name in CandidateMetrics.__struct_fields__}
    return CandidateMetrics(**shown | {"size_bytes": size_bytes})


def _fate(ranked: "Ranked") -> Fate:
    if ranked.accepted:
        return "selected" if ranked.selected else "accepted"
    return "waits" if ranked.waits else "rejected"


def _source(result: VariantResult) -> Origin:
    if result.proofs:
        return Origin.IMPORTED if result.proofs[0].imported else Origin.HERE
    damaged = {"check.damaged", "check.no-folder"}
    return Origin.DAMAGED if result.skipped and result.skipped.code in damaged else Origin.SKIPPED


def _sound(value: float | tuple[float, float] | None) -> Any:
    """Return a number, or an interval, that a catalog can hold; None for any other."""
    numbers = value if isinstance(value, tuple) else (value,)
    return value if all(number and 0 < number < math.inf for number in numbers) else None
