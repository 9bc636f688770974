"""Renders the report of a release as one HTML page that needs neither network nor script."""

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from whisperopt.backend import Tier
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.matrix import Gates
from whisperopt.release.markdown import clean
from whisperopt.release.report import CandidateMetrics, Report
from whisperopt.report import formats, view
from whisperopt.report.chart import change_scale, chart
from whisperopt.results import folder
from whisperopt.results.grading import GradingContext
from whisperopt.results.variant import VariantResult
from whisperopt.selection.compare import TOO_CLOSE

FILE = "report.html"
"""Its name in a release."""
_WIDE, _HALF, _NARROW = 820.0, 520.0, 350.0
_FILTERS = (
    *(formats.counted, formats.finely, formats.interval, formats.megabytes, formats.moment),
    *(formats.number, formats.percent, formats.points, formats.rounds, formats.shows),
    *(formats.span, view.aim, view.meaningful, change_scale),
)


def of_release(
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
    answered = sorted(grading.answers.keys() & digests)
    played = max(answered, key=digests.count, default=None)
    answers = grading.answers[played][0] if played else None
    gates = {result.name: grading.gates(result.variant) for result in results}
    return render(report, samples, answers, gates=gates)


def render(
    report: Report,
    evidence: Mapping[str, Evidence],
    answers: Answers | None = None,
    *,
    gates: Mapping[str, Gates] | None = None,
) -> str:
    """Return the page as text.

    `evidence` and `gates` are by variant; the evidence is that of the kind of host which decided.
    Without `answers` clips are not compared, nor where a variant heard other clips than those, and
    without `gates` no line is drawn.
    """
    candidates = view.candidates(report, evidence, answers, gates or {})
    heard = [candidate for candidate in candidates if candidate.changes]
    placed = [candidate for candidate in heard if candidate.times]
    by_target = view.grouped((candidate.target.name, candidate) for candidate in placed)
    sizes = (_WIDE if len(by_target) == 1 else _HALF, _NARROW)
    style = _templates().get_template("style.css").render()
    page = _templates().get_template("page.html.j2")
    text = page.render(
        report=report,
        outcome=view.outcome(report),
        candidates=candidates,
        chosen=view.chosen(candidates),
        heard=heard,
        placed=placed,
        charts={k: [chart(own, placed, size) for size in sizes] for k, own in by_target.items()},
        notes=view.grouped((note, own) for own in heard for note in own.report.notes),
        style=style,
        digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        too_close=formats.percent(TOO_CLOSE, ".0f"),
    )
    return clean(text)


@functools.cache
def _templates() -> jinja2.Environment:
    """Return the templates: what they are given is escaped, and nothing may be missing."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("whisperopt.report"),
        extensions=["jinja2.ext.do"],
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: f"{value:.6g}" if isinstance(value, float) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {function.__name__: function for function in _FILTERS}
    environment.globals |= {"FATES": view.FATES, "Tier": Tier, "NONE": formats.NONE}
    environment.globals["BLANK"] = CandidateMetrics()
    return environment
