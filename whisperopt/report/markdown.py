"""A short summary in GitHub's Markdown, for pull requests."""

from collections.abc import Iterable

from whisperopt.backend import Tier
from whisperopt.release.report import CandidateReport, Report, TargetReport
from whisperopt.report.aims import aim
from whisperopt.report.differences import differences, selected, timed, with_range
from whisperopt.report.escaping import escaped
from whisperopt.report.fates import Fate, outcome
from whisperopt.report.numbers import NONE, interval, megabytes, number, points, speed

MOST_ROWS = 40
"""So many candidates that were not selected are listed with their reasons."""
_MOST_NOTES = 8


def summary(report: Report, before: Report | None = None) -> str:
    """Return the outcome of `report`, and what became different since `before`.

    Nothing from outside can become a link, a mention, HTML or another cell: see `escaping`.
    """
    lines = [
        f"### {escaped(report.model)}: {escaped(outcome(report))}",
        "",
        "| target | selected | proof | WER | change (95 %) | ms (rounds) | × real time | size |",
        "|---|---|---|--:|--:|--:|--:|--:|",
        *(_row(target) for target in report.targets),
        "",
        _counts(report),
        *_aims(report),
        *(differences(report, before) if before else []),
        *_languages(report),
        *_notes(report),
        *_refused(report),
        "",
        _footer(report),
    ]
    return "\n".join(lines) + "\n"


def _row(target: TargetReport) -> str:
    best = selected(target)
    if best is None:
        state = "✗ **nothing**" + (" (required)" if target.required else "")
        return _cells(escaped(target.name), state, *[NONE] * 6)
    metrics, real = best.metrics, best.tier is Tier.MEASURED
    return _cells(
        escaped(target.name),
        escaped(best.name),
        str(best.tier),
        number(metrics.wer, unit=" %"),
        with_range(points(metrics.wer_delta), interval(metrics.wer_delta_interval)),
        timed(best) if real else NONE,
        speed(metrics.rtfx if real else None, ""),
        megabytes(metrics.size_bytes),
    )


def _counts(report: Report) -> str:
    fates = [Fate(one.fate) for target in report.targets for one in target.candidates]
    told = [f"{fate.mark} {fates.count(fate)} {fate.word}" for fate in Fate if fate in fates]
    return f"{len(fates)} candidates: {' · '.join(told)}" if told else "No candidates"


def _aims(report: Report) -> list[str]:
    """Say what was best and on which kind of host that was decided, alike targets together."""
    alike: dict[str, list[str]] = {}
    for target in report.targets:
        where = f", decided on {target.host_class}" if target.host_class else ", nothing was run"
        alike.setdefault(aim(target.objective) + where, []).append(target.name)
    lines = [f"- {_names(names)}: best is {escaped(said)}" for said, names in alike.items()]
    return ["", *lines] if lines else []


def _languages(report: Report) -> list[str]:
    """Say how each language changed, where a variant that was selected heard more than one."""
    lines = []
    for target in report.targets:
        best = selected(target)
        found = best.metrics.languages if best else ()
        said = [f"{escaped(one.language)} {points(one.delta)}" for one in found]
        if len(said) > 1:
            lines.append(f"- {escaped(target.name)}: {', '.join(said)}")
    return ["", "**Change by language**", "", *lines] if lines else []


def _notes(report: Report) -> list[str]:
    """List what the clips cannot tell of what was selected, each note once."""
    about: dict[str, list[str]] = {}
    for target in report.targets:
        best = selected(target)
        for note in best.notes if best else ():
            about.setdefault(note, []).append(target.name)
    lines = [f"- {_names(names)}: {escaped(note)}" for note, names in about.items()]
    left = len(lines) - _MOST_NOTES
    more = [f"- … {left} more"] if left > 0 else []
    return ["", "**What the clips cannot tell**", "", *lines[:_MOST_NOTES], *more] if lines else []


def _names(names: Iterable[str]) -> str:
    return escaped(", ".join(names))


def _refused(report: Report) -> list[str]:
    rows = [
        _cells(escaped(one.name), _fate(one), escaped(one.reason))
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


def _fate(candidate: CandidateReport) -> str:
    own = Fate(candidate.fate)
    return f"{own.mark} {own.word}"


def _footer(report: Report) -> str:
    host = report.host
    core = f"; the fp32 core model's WER is {number(report.core_wer)} %" if report.core_wer else ""
    where = f"{host.os} {host.arch}, {host.cpu_vendor} {host.isa}, {host.cores} cores"
    return f"whisperopt {escaped(report.whisperopt)} on {escaped(where)}{core}."


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
