"""Renders the report of a release from what is known of its variants."""

from collections.abc import Sequence
from pathlib import Path

from whisperopt.release.report import Report
from whisperopt.report import page
from whisperopt.results import folder
from whisperopt.results.grading import GradingContext
from whisperopt.results.variant import VariantResult


def render(
    release: Path, report: Report, grading: GradingContext, results: Sequence[VariantResult]
) -> str:
    """Return the page for `report`, with the raw samples of the hosts that decided.

    Those of what was rejected are read from `release`.
    """
    decisive = {row.name: row.host_class for row in report.targets}
    samples = dict(folder.read_rejected(release, report))
    for result in results:
        samples.pop(result.name, None)
        proof = result.decisive(decisive.get(result.variant.target))
        if proof is not None and proof.evidence is not None:
            samples[result.name] = proof.evidence
    digests = [evidence.clip_digest for evidence in samples.values()]
    answered = sorted({digest for digest in digests if digest in grading.answers})
    played = max(answered, key=digests.count, default=None)
    return page.render(
        report,
        samples,
        grading.answers[played][0] if played else None,
        gates={result.name: grading.gates(result.variant) for result in results},
    )
