"""Where one variant was proven: a row for each kind of host."""

from whisperopt.backend import Tier
from whisperopt.release.report import CandidateReport, ProofReport
from whisperopt.report.marks import tier
from whisperopt.report.markup import Content, Html, named, tag
from whisperopt.report.numbers import counted, milliseconds, moment, points, rounds
from whisperopt.report.overview import with_range
from whisperopt.report.tables import Column, table


def proven(candidate: CandidateReport, *, opened: bool) -> Html | None:
    """Return the table, or None where there is but one proof and it was made here."""
    proofs = candidate.proofs
    if len(proofs) < 2 and not any(proof.imported for proof in proofs):
        return None
    columns = [
        *(Column("kind of host"), Column("proof"), Column("verdict"), Column("when, and where")),
        *(Column("change", figures=True), Column("time for a clip", figures=True)),
    ]
    made = table("Where it was proven", columns, map(_row, proofs), class_="stacked hosts")
    passed = sum(proof.accepted for proof in proofs)
    refused = len(proofs) - passed
    said = f"Proven on {counted(passed, 'kind')} of host" if passed else "Proven nowhere"
    said += f", refused on {refused}" if refused else ""
    return tag("details", tag("summary", said), made, open=opened)


def _row(proof: ProofReport) -> list[Content]:
    metrics = proof.metrics
    real = proof.tier is Tier.MEASURED
    time = milliseconds(metrics.latency_ms_p50 if real else None)
    place = "brought from another machine" if proof.imported else "run on this machine"
    verdict = tag("span", "✓ passed", class_="better")
    if not proof.accepted:
        verdict = tag("span", tag("b", "✗ refused", class_="nothing"), f": {proof.reason}")
    return [
        named(proof.host_class),
        tier(proof.tier),
        verdict,
        [moment(proof.started), " ", tag("small", place)],
        points(metrics.wer_delta),
        with_range(time, rounds(metrics.latency_ms_interval if real else None)),
    ]
