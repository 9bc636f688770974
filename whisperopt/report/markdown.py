"""A short summary in GitHub's Markdown, for pull requests."""

from collections.abc import Mapping, Sequence

from whisperopt.backend import Tier
from whisperopt.matrix import LATENCY
from whisperopt.release.markdown import cells, escaped
from whisperopt.release.report import CandidateMetrics, Report, TargetReport
from whisperopt.report import formats, view
from whisperopt.report.formats import NONE, number, points
from whisperopt.report.view import CandidateView
from whisperopt.results.variant import scores_of
from whisperopt.selection.compare import faster

MOST_ROWS = 40
"""So many candidates that were not selected are listed with their reasons."""
_MOST_NOTES = 8


def summary(report: Report, before: Report | None = None) -> str:
    """Return the outcome of `report`, and what became different since `before`.

    Nothing from outside can become a link, a mention, HTML or another cell: see `escaped`.
    """
    shown = view.candidates(report, {}, None, {})
    chosen = view.chosen(shown)
    fates = [own.fate for own in shown]
    counts = [f"{b.mark} {fates.count(b)} {b.word}" for b in view.FATES.values() if b in fates]
    lines = [
        f"### {escaped(report.model)}: {escaped(view.outcome(report))}",
        "",
        "| target | selected | proof | WER | change (95 %) | ms (rounds) | × real time | size |",
        "|---|---|---|--:|--:|--:|--:|--:|",
        *(_row(target, chosen.get(target.name)) for target in report.targets),
        "",
        f"{len(fates)} candidates: {' · '.join(counts)}" if counts else "No candidates",
        *_listed("", _aims(report)),
        *_listed("What changed", _changes(report, chosen, before) if before else []),
        *_listed("Change by language", _languages(chosen)),
        *_listed("What the clips cannot tell", _notes(chosen)),
        *_refused([own for own in shown if own.report.name != own.target.selected]),
        "",
        _footer(report),
    ]
    return "\n".join(lines) + "\n"


def _listed(title: str, items: Sequence[str]) -> list[str]:
    heading = ["", f"**{title}**", ""] if title else [""]
    return [*heading, *(f"- {item}" for item in items)] if items else []


def _row(target: TargetReport, best: CandidateView | None) -> str:
    nothing = "✗ **nothing**" + (" (required)" if target.required else "")
    metrics = best.metrics if best else CandidateMetrics()
    return cells(
        escaped(target.name),
        escaped(best.report.name) if best else nothing,
        str(best.report.tier) if best else NONE,
        number(metrics.wer, unit=" %"),
        _ranged(points(metrics.wer_delta), formats.interval(metrics.wer_delta_interval)),
        _timed(metrics),
        formats.finely(metrics.rtfx),
        formats.megabytes(metrics.size_bytes),
    )


def _aims(report: Report) -> list[str]:
    """Say what was best and on which kind of host that was decided, alike targets together."""
    alike = view.grouped(((t.objective, t.host_class), t.name) for t in report.targets)
    return [
        f"{escaped(', '.join(names))}: best is {escaped(view.aim(objective))}, "
        + (f"decided on {escaped(host_class)}" if host_class else "nothing was run")
        for (objective, host_class), names in alike.items()
    ]


def _changes(report: Report, chosen: Mapping[str, CandidateView], before: Report) -> list[str]:
    """List the targets with another outcome than `before`, and why it is so now."""
    old = {target.name: target for target in before.targets}
    then = view.chosen(view.candidates(before, {}, None, {}))
    lines = []
    for target in report.targets:
        was, name = old.pop(target.name, None), escaped(target.name)
        if was and (was.selected, was.tier) == (target.selected, target.tier):
            if target.name in chosen and (moved := _moved(chosen[target.name], then[was.name])):
                best = escaped(chosen[target.name].report.name)
                lines.append(f"{name}: {best} as before, {escaped('; '.join(moved))}")
            continue
        names = dict.fromkeys((target.selected, was.selected if was else None))
        reasons = {c.name: f"{escaped(c.name)}: {escaped(c.reason)}" for c in target.candidates}
        why = "; ".join(reasons[name] for name in names if name in reasons)
        line = f"{name}: {_outcome(was) if was else 'not built'} → {_outcome(target)}"
        lines.append(f"{line}. {why}" if why else line)
    lines += [f"{escaped(name)}: no longer built" for name in old]
    return lines or ["nothing: the same variants and proofs"]


def _moved(now: CandidateView, then: CandidateView) -> list[str]:
    """Say where the same variant has other words, or another speed on the same kind of host."""
    changes = points(then.report.metrics.wer_delta), points(now.report.metrics.wer_delta)
    told = [f"change of the WER {changes[0]} → {changes[1]}"] if changes[0] != changes[1] else []
    if now.report.tier is Tier.MEASURED and now.target.host_class == then.target.host_class:
        times = [scores_of(own.metrics, 0, Tier.MEASURED).cost(LATENCY) for own in (now, then)]
        word = {faster(*times): "faster", faster(*times[::-1]): "slower"}.get(True)
        told += [f"{word}, {_timed(then.metrics)} → {_timed(now.metrics)} ms"] if word else []
    return told


def _languages(chosen: Mapping[str, CandidateView]) -> list[str]:
    """Say how each language changed, where a variant that was selected heard more than one."""
    told = {
        name: [f"{escaped(e.language)} {points(e.delta)}" for e in best.metrics.languages]
        for name, best in chosen.items()
    }
    return [f"{escaped(k)}: {', '.join(parts)}" for k, parts in told.items() if len(parts) > 1]


def _notes(chosen: Mapping[str, CandidateView]) -> list[str]:
    """List what the clips cannot tell of what was selected, each note once."""
    about = view.grouped((note, k) for k, best in chosen.items() for note in best.report.notes)
    lines = [f"{escaped(', '.join(names))}: {escaped(note)}" for note, names in about.items()]
    return _cut(lines, _MOST_NOTES, "… {} more")


def _refused(shown: Sequence[CandidateView]) -> list[str]:
    rows = [
        cells(
            escaped(own.report.name),
            f"{own.fate.mark} {own.fate.word}",
            escaped(own.report.reason),
        )
        for own in shown
    ]
    head = f"<details><summary>Not selected, and why ({len(rows)})</summary>"
    table = ["| variant | fate | reason |", "|---|---|---|"]
    table += _cut(rows, MOST_ROWS, cells("… {} more", "", ""))
    return ["", head, "", *table, "", "</details>"] if rows else []


def _cut(lines: list[str], most: int, more: str) -> list[str]:
    left = len(lines) - most
    return [*lines[:most], more.format(left)] if left > 0 else lines


def _footer(report: Report) -> str:
    host = report.host
    core = f"; the fp32 core model's WER is {number(report.core_wer)} %" if report.core_wer else ""
    where = f"{host.os} {host.arch}, {host.cpu_vendor} {host.isa}, {host.cores} cores"
    return f"whisperopt {escaped(report.whisperopt)} on {escaped(where)}{core}."


def _outcome(target: TargetReport) -> str:
    return f"{escaped(target.selected)} ({target.tier})" if target.selected else "nothing"


def _timed(own: CandidateMetrics) -> str:
    """Return the time for a clip in milliseconds, with the range of the rounds."""
    return _ranged(formats.finely(own.latency_ms_p50), formats.rounds(own.latency_ms_interval))


def _ranged(value: str, reach: str) -> str:
    return value if NONE in (value, reach) else f"{value} ({reach})"
