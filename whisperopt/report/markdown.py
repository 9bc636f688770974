"""A short summary in GitHub's Markdown, for pull requests."""

import re

from whisperopt.backend import Tier
from whisperopt.release.report import CandidateReport, Report, TargetReport
from whisperopt.report.fates import Fate, fate, outcome
from whisperopt.report.markup import clean
from whisperopt.report.numbers import interval, megabytes, number, points

MOST_ROWS = 40
"""So many candidates that were not selected are listed with their reasons."""
_LONGEST = 240
_JOINER = "\N{WORD JOINER}"
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~&$])")
_LINKS = re.compile(r"(@|#|://|www\.|GH-)", re.IGNORECASE)


def summary(report: Report, before: Report | None = None) -> str:
    """Return the outcome of `report`, and what became different since `before`.

    Nothing from outside can become a link, a mention, HTML or another cell: see `escaped`.
    """
    lines = [
        f"### {escaped(report.model)}: {escaped(outcome(report))}",
        "",
        "| target | selected | proof | WER | change (95 %) | ms | × real time | size |",
        "|---|---|---|--:|--:|--:|--:|--:|",
        *(_row(target) for target in report.targets),
        *(_differences(report, before) if before else []),
        *_refused(report),
        "",
        _footer(report),
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return `text` for one line of Markdown: no markup, no cell's end, no link, no mention."""
    line = " ".join(clean(text).split())
    if len(line) > _LONGEST:
        line = line[: _LONGEST - 1] + "…"
    apart = _LINKS.sub(lambda found: f"{found[0][0]}{_JOINER}{found[0][1:]}", line)
    return _MARKUP.sub(r"\\\1", apart)


def _row(target: TargetReport) -> str:
    best = next((c for c in target.candidates if c.name == target.selected), None)
    if best is None:
        state = "✗ **nothing**" + (" (required)" if target.required else "")
        return _cells(escaped(target.name), state, *["–"] * 6)
    metrics, real = best.metrics, best.tier is Tier.MEASURED
    return _cells(
        escaped(target.name),
        escaped(best.name),
        str(best.tier),
        number(metrics.wer, unit=" %"),
        f"{points(metrics.wer_delta)} ({interval(metrics.wer_delta_interval)})",
        number(metrics.latency_ms_p50 if real else None, ",.0f"),
        number(metrics.rtfx if real else None, ".1f"),
        megabytes(metrics.size_bytes),
    )


def _differences(report: Report, before: Report) -> list[str]:
    """List the targets with another outcome than `before`, and why it is so now."""
    old = {target.name: target for target in before.targets}
    lines = []
    for target in report.targets:
        was = old.get(target.name)
        if was and (was.selected, was.tier) == (target.selected, target.tier):
            continue
        earlier = _chosen(was) if was else "not built"
        why = _why(target, was.selected if was else None)
        lines.append(f"- {escaped(target.name)}: {earlier} → {_chosen(target)}{why}")
    return ["", "**What changed**", "", *(lines or ["- nothing: the same variants and proofs"])]


def _chosen(target: TargetReport) -> str:
    return f"{escaped(target.selected)} ({target.tier})" if target.selected else "nothing"


def _why(target: TargetReport, former: str | None) -> str:
    """Return the reason of the selected candidate, and of the one that was selected before."""
    names = dict.fromkeys((target.selected, former))
    reasons = {c.name: c.reason for c in target.candidates}
    told = [
        f"{escaped(n)}: {escaped(reasons[n])}" for n in names if n is not None and n in reasons
    ]
    return f". {'; '.join(told)}" if told else ""


def _refused(report: Report) -> list[str]:
    rows = [
        _cells(escaped(one.name), _fate(one, target), escaped(one.reason))
        for target in report.targets
        for one in target.candidates
        if one.name != target.selected
    ]
    if not rows:
        return []
    left = len(rows) - MOST_ROWS
    return [
        "",
        f"<details><summary>Not selected, and why ({len(rows)})</summary>",
        "",
        "| variant | fate | reason |",
        "|---|---|---|",
        *rows[:MOST_ROWS],
        *([_cells(f"… {left} more", "", "")] if left > 0 else []),
        "",
        "</details>",
    ]


def _fate(candidate: CandidateReport, target: TargetReport) -> str:
    own: Fate = fate(candidate, target)
    return f"{own.mark} {own.word}"


def _footer(report: Report) -> str:
    host = report.host
    core = f"; the fp32 core model's WER is {number(report.core_wer)} %" if report.core_wer else ""
    where = f"{host.os} {host.arch}, {host.cpu_vendor} {host.isa}, {host.cores} cores"
    return f"whisperopt {escaped(report.whisperopt)} on {escaped(where)}{core}."


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
