"""Renders the report of a release from nothing but the release."""

from pathlib import Path

from whisperopt.matrix import Matrix
from whisperopt.release import catalog
from whisperopt.release.report import Report
from whisperopt.report import page
from whisperopt.results import folder, verdicts
from whisperopt.results.verdicts import Judged


def render(release: Path, report: Report, matrix: Matrix) -> str:
    """Return the page for `report`, with the raw samples of the hosts that decided."""
    entry = catalog.read(release).model(report.model)
    bench = verdicts.bench(release, report.model, entry, matrix)
    decisive = {row.name: row.host_class for row in report.targets}
    shown: dict[str, Judged] = {}
    for variant in entry.variants:
        judged = verdicts.replay(release, bench, variant)
        one = verdicts.decides(judged, decisive.get(variant.target))
        if one is not None:
            shown[variant.name] = one
    released = {variant.name for variant in entry.variants}
    rejected = folder.read_rejected(release, report)
    samples = {name: one for name, one in rejected.items() if name not in released}
    samples |= {name: one.evidence for name, one in shown.items() if one.evidence is not None}
    digests = [one.clip_digest for one in samples.values() if one.clip_digest in bench.answers]
    played = max(sorted(set(digests)), key=digests.count, default=None)
    return page.render(
        report,
        samples,
        bench.answers[played][0] if played else None,
        gates=bench.gates,
    )
