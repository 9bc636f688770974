"""A short summary in GitHub's Markdown, for pull requests."""

import re
from collections.abc import Sequence

from whisperopt.backend import Tier
from whisperopt.release.report import CandidateReport, Report, TargetReport
from whisperopt.report.fates import FATES, aim, outcome
from whisperopt.report.formats import (
    NONE,
    clean,
    finely,
    interval,
    megabytes,
    number,
    points,
    rounds,
)
from whisperopt.report.view import grouped, meaningful
from whisperopt.results.scores import UNKNOWN, Estimate, estimate
from whisperopt.selection.compare import faster

MOST_ROWS = 40
"""So many candidates that were not selected are listed with their reasons."""
Chosen = Sequence[tuple[str, CandidateReport]]
"""Targets with the variants that they selected."""
_MOST_NOTES = 8
_LONGEST = 240
_JOINER = "\N{WORD JOINER}"
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~&$])")
_LINKS = re.compile(r"(@|#|://|www\.|GH-)", re.IGNORECASE)


def summary(report: Report, before: Report | None = None) -> str:
    """Return the outcome of `report`, and what became different since `before`.

    Nothing from outside can become a link, a mention, HTML or another cell: see `escaped`.
    """
    chosen = [(target.name, best) for target in report.targets if (best := _selected(target))]
    fates = [candidate.fate for target in report.targets for candidate in target.candidates]
    counts = [f"{b.mark} {fates.count(f)} {b.word}" for f, b in FATES.items() if f in fates]
    lines = [
        f"### {escaped(report.model)}: {escaped(outcome(report))}",
        "",
        "| target | selected | proof | WER | change (95 %) | ms (rounds) | × real time | size |",
        "|---|---|---|--:|--:|--:|--:|--:|",
        *map(_row, report.targets),
        "",
        f"{len(fates)} candidates: {' · '.join(counts)}" if counts else "No candidates",
        *_listed("", _aims(report)),
        *_listed("What changed", _changes(report, before) if before else []),
        *_listed("Change by language", _languages(chosen)),
        *_listed("What the clips cannot tell", _notes(chosen)),
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


def _listed(title: str, items: Sequence[str]) -> list[str]:
    heading = ["", f"**{title}**", ""] if title else [""]
    return [*heading, *(f"- {item}" for item in items)] if items else []


def _row(target: TargetReport) -> str:
    best = _selected(target)
    if best is None:
        state = "✗ **nothing**" + (" (required)" if target.required else "")
        return _cells(escaped(target.name), state, *[NONE] * 6)
    metrics = meaningful(best.metrics, best.tier)
    return _cells(
        escaped(target.name),
        escaped(best.name),
        str(best.tier),
        number(metrics.wer, unit=" %"),
        _ranged(points(metrics.wer_delta), interval(metrics.wer_delta_interval)),
        _timed(best),
        finely(metrics.rtfx),
        megabytes(metrics.size_bytes),
    )


def _aims(report: Report) -> list[str]:
    """Say what was best and on which kind of host that was decided, alike targets together."""
    alike = grouped(((t.objective, t.host_class), t.name) for t in report.targets)
    return [
        f"{escaped(', '.join(names))}: best is {escaped(aim(objective))}, "
        + (f"decided on {escaped(host_class)}" if host_class else "nothing was run")
        for (objective, host_class), names in alike.items()
    ]


def _changes(report: Report, before: Report) -> list[str]:
    """List the targets with another outcome than `before`, and why it is so now."""
    old = {target.name: target for target in before.targets}
    lines = []
    for target in report.targets:
        was = old.pop(target.name, None)
        if was and (was.selected, was.tier) == (target.selected, target.tier):
            lines += _moved(target, was)
            continue
        names = dict.fromkeys((target.selected, was.selected if was else None))
        reasons = {c.name: f"{escaped(c.name)}: {escaped(c.reason)}" for c in target.candidates}
        why = "; ".join(reasons[name] for name in names if name in reasons)
        earlier = _chosen(was) if was else "not built"
        line = f"{escaped(target.name)}: {earlier} → {_chosen(target)}"
        lines.append(f"{line}. {why}" if why else line)
    lines += [f"{escaped(name)}: no longer built" for name in old]
    return lines or ["nothing: the same variants and proofs"]


def _moved(target: TargetReport, was: TargetReport) -> list[str]:
    """Say where the same variant has other words, or another speed on the same kind of host."""
    now, then = _selected(target), _selected(was)
    if now is None or then is None:
        return []
    told = []
    changes = points(then.metrics.wer_delta), points(now.metrics.wer_delta)
    if changes[0] != changes[1]:
        told.append(f"change of the WER {changes[0]} → {changes[1]}")
    if now.tier is Tier.MEASURED and target.host_class == was.host_class:
        times = _time(now), _time(then)
        word = {faster(*times): "faster", faster(*times[::-1]): "slower"}.get(True)
        if word:
            told.append(f"{word}, {_timed(then)} → {_timed(now)} ms")
    name = f"{escaped(target.name)}: {escaped(now.name)} as before, "
    return [name + escaped("; ".join(told))] if told else []


def _time(candidate: CandidateReport) -> Estimate:
    value = candidate.metrics.latency_ms_p50
    return UNKNOWN if value is None else estimate(value, candidate.metrics.latency_ms_interval)


def _languages(chosen: Chosen) -> list[str]:
    """Say how each language changed, where a variant that was selected heard more than one."""
    lines = []
    for name, best in chosen:
        told = [f"{escaped(e.language)} {points(e.delta)}" for e in best.metrics.languages]
        if len(told) > 1:
            lines.append(f"{escaped(name)}: {', '.join(told)}")
    return lines


def _notes(chosen: Chosen) -> list[str]:
    """List what the clips cannot tell of what was selected, each note once."""
    about = grouped((note, name) for name, best in chosen for note in best.notes)
    lines = [f"{escaped(', '.join(names))}: {escaped(note)}" for note, names in about.items()]
    left = len(lines) - _MOST_NOTES
    return [*lines[:_MOST_NOTES], *([f"… {left} more"] if left > 0 else [])]


def _refused(report: Report) -> list[str]:
    rows = [
        _cells(escaped(c.name), f"{FATES[c.fate].mark} {FATES[c.fate].word}", escaped(c.reason))
        for target in report.targets
        for c in target.candidates
        if c.name != target.selected
    ]
    left = len(rows) - MOST_ROWS
    return (
        [
            *("", f"<details><summary>Not selected, and why ({len(rows)})</summary>", ""),
            *("| variant | fate | reason |", "|---|---|---|"),
            *rows[:MOST_ROWS],
            *([_cells(f"… {left} more", "", "")] if left > 0 else []),
            *("", "</details>"),
        ]
        if rows
        else []
    )


def _footer(report: Report) -> str:
    host = report.host
    core = f"; the fp32 core model's WER is {number(report.core_wer)} %" if report.core_wer else ""
    where = f"{host.os} {host.arch}, {host.cpu_vendor} {host.isa}, {host.cores} cores"
    return f"whisperopt {escaped(report.whisperopt)} on {escaped(where)}{core}."


def _selected(target: TargetReport) -> CandidateReport | None:
    return next((c for c in target.candidates if c.name == target.selected), None)


def _chosen(target: TargetReport) -> str:
    return f"{escaped(target.selected)} ({target.tier})" if target.selected else "nothing"


def _timed(candidate: CandidateReport) -> str:
    """Return the time for a clip in milliseconds, with the range of the rounds."""
    metrics = meaningful(candidate.metrics, candidate.tier)
    return _ranged(finely(metrics.latency_ms_p50), rounds(metrics.latency_ms_interval))


def _ranged(value: str, reach: str) -> str:
    return value if NONE in (value, reach) else f"{value} ({reach})"


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
