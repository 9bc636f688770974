"""The tables of builds and decisions, on stderr; those of `inspect` are in `render_facts.py`."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from whisperopt.backend import Tier
from whisperopt.download import Decision
from whisperopt.release.report import CandidateReport, Report, TargetReport

_MORE = ("throughput", "memory MB")
"""Columns that only objectives other than the bare latency ask for."""
_STYLE: dict[str, str] = {Tier.MEASURED: "green", Tier.EMULATED: "cyan", Tier.STRUCTURAL: "yellow"}


def console() -> Console:
    """Return where tables go; wide enough for reasons where nobody watches."""
    terminal = sys.stderr.isatty()
    return Console(stderr=True, highlight=False, markup=False, width=None if terminal else 140)


def show_report(report: Report) -> None:
    """Print a build's outcome: each target's selected variant, and why every loser lost."""
    output = console()
    for table in (_selected(report), _languages(report), _losers(report), _rehearsals(report)):
        if table.row_count:
            output.print(table)
    for note, names in _notes(report).items():
        output.print(f"{', '.join(names)}: {note}.")
    output.print(_footer(report))


def _selected(report: Report) -> Table:
    """Tabulate what was selected; throughput and memory only where more than latency counts."""
    title = f"{report.model}: one variant for each target"
    more = _MORE if any(target.objective != "latency" for target in report.targets) else ()
    table = Table(title=title, title_justify="left")
    for column in ("target", "selected", "tier"):
        table.add_column(column, no_wrap=True)
    numbers = ("WER %", "increase", "tokens equal", "latency ms", "RTFx", "MB", *more)
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    for target in report.targets:
        best = _best(target)
        if best is None:
            table.add_row(target.name, Text("none", style="red"), *[""] * (1 + len(numbers)))
        else:
            name = f"{best.name} ◆" if best.pareto else best.name
            table.add_row(target.name, name, _tier(best.tier), *_numbers(best, more))
    return table


def _languages(report: Report) -> Table:
    """Tabulate the errors of what was selected by language, where that is more than English."""
    table = Table(title="Language by language", title_justify="left")
    for column in ("selected", "language"):
        table.add_column(column, no_wrap=True)
    for column in ("clips", "heard", "rate %", "increase", "95 % interval"):
        table.add_column(column, justify="right", no_wrap=True)
    for target in report.targets:
        best = _best(target)
        found = best.metrics.languages if best else ()
        if best is None or not (len(found) > 1 or any(one.unit != "words" for one in found)):
            continue
        for one in found:
            heard = f"{one.units:,} {one.unit}"
            low, high = one.interval
            reach = f"{low:+.2f} … {high:+.2f}"
            row = (str(one.clips), heard, f"{one.rate:.2f}", f"{one.delta:+.2f}", reach)
            table.add_row(best.name, one.language, *row)
    return table


def _losers(report: Report) -> Table:
    """Tabulate why the others were not selected; stand-ins that were not needed share a row."""
    table = Table(title="Not selected, and why", title_justify="left")
    table.add_column("variant", no_wrap=True)
    table.add_column("tier", no_wrap=True)
    table.add_column("reason")
    for target in report.targets:
        spared = [one for one in target.candidates if one.fate == "not needed"]
        for one in target.candidates:
            if one.fate not in {"selected", "not needed"}:
                name = f"{one.name} ◆" if one.pareto else one.name
                table.add_row(name, _tier(one.tier), _reason(one))
        if spared:
            names = ", ".join(one.name.removeprefix(f"{target.name}-") for one in spared)
            table.add_row(f"{target.name}: stand-ins", "", f"not needed: {names}")
    return table


def _reason(candidate: CandidateReport) -> str:
    """Return why a variant was not selected; of several proofs against it each on its line."""
    if candidate.fate != "rejected":
        return candidate.reason
    return "rejected: " + candidate.reason.replace("; ", "\n  ")


def _notes(report: Report) -> dict[str, list[str]]:
    """Return what the clips cannot tell of what was selected, each note with its variants."""
    found: dict[str, list[str]] = {}
    for target in report.targets:
        if best := _best(target):
            for note in best.notes:
                found.setdefault(note, []).append(best.name)
    return found


def _rehearsals(report: Report) -> Table:
    """Tabulate what the real runtimes said without their devices, each reason once."""
    table = Table(title="Rehearsals: the real runtime without its device", title_justify="left")
    table.add_column("target", no_wrap=True)
    table.add_column("variants")
    table.add_column("result")
    for target in report.targets:
        alike: dict[tuple[bool | None, str], list[str]] = {}
        for candidate in target.candidates:
            for one in candidate.rehearsals:
                said = f"{one.runtime} {one.version or ''}".rstrip() + f": {one.reason}"
                alike.setdefault((one.passed, said), []).append(candidate.name)
        for (passed, said), names in alike.items():
            mark = {True: "passed: ", False: "failed: ", None: ""}[passed]
            table.add_row(target.name, ", ".join(names), mark + said)
    return table


def _best(target: TargetReport) -> CandidateReport | None:
    return next((c for c in target.candidates if c.name == target.selected), None)


def _numbers(candidate: CandidateReport, more: Sequence[str]) -> list[str]:
    metrics = candidate.metrics
    real = candidate.tier is Tier.MEASURED  # a stand-in's speed says nothing about the device
    low, high = metrics.latency_ms_interval or (None, None)
    reach = f" ({_time(low)}–{_time(high)})" if real and low is not None else ""
    told = {
        "throughput": _number(metrics.throughput if real else None, ".1f"),
        "memory MB": _number(metrics.peak_rss_mb if real else None, ".0f"),
    }
    return [
        _number(metrics.wer, ".2f"),
        _number(metrics.wer_delta, "+.2f"),
        _number(metrics.token_match and metrics.token_match * 100, ".0f", " %"),
        _time(metrics.latency_ms_p50 if real else None) + reach,
        _number(metrics.rtfx if real else None, ".1f"),
        _number((metrics.size_bytes or 0) / 1e6, ".0f"),
        *(told[column] for column in more),
    ]


def _time(milliseconds: float | None) -> str:
    short = milliseconds is not None and milliseconds < 100
    return _number(milliseconds, ".1f" if short else ".0f")


def _footer(report: Report) -> str:
    lines = [f"Made in {report.seconds:.0f} s by whisperopt {report.whisperopt}."]
    aims: dict[str, list[str]] = {}
    for target in report.targets:
        aims.setdefault(target.objective, []).append(target.name)
    if set(aims) - {"latency"}:
        said = "; ".join(f"{aim} ({', '.join(names)})" for aim, names in aims.items())
        lines.append(f"The objective was {said}.")
    if report.core_wer is not None:
        lines.append(
            f"The fp32 core model's own WER on the clip set '{report.clip_set}' is"
            f" {report.core_wer:.2f} %. Increases are in percent points against its WER on the same"
            " clips; an emulated variant hears every third one."
        )
        lines.append(
            "measured: ran on its device, latencies with the range of the rounds; emulated: its"
            " very graphs ran elsewhere, its speed is unknown; ◆: nothing accepted for the target"
            " is both faster and more accurate."
        )
    return " ".join(lines)


def _tier(tier: str | None) -> Text:
    """Show a tier; a newer whisperopt's catalog may name one that this one does not know."""
    return Text(tier, style=_STYLE.get(tier, "red")) if tier else Text("none", style="red")


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else f"{value:{form}}{unit}"


def show_decisions(model: str, decisions: Sequence[Decision]) -> None:
    """Print which variant a host gets and why the others stand behind it."""
    table = Table(title=f"{model} on this host", title_justify="left")
    for column in ("", "variant", "tier"):
        table.add_column(column, no_wrap=True)
    table.add_column("why")
    first = True
    for decision in decisions:
        mark = "→" if first and decision.accepted else ("" if decision.accepted else "✗")
        first = False
        why = f"{decision.reason}. {decision.hint}" if decision.hint else decision.reason
        table.add_row(mark, decision.variant.name, _tier(decision.variant.tier), why)
    console().print(table)


def show_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a plain table."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, no_wrap=column != columns[-1])
    for row in rows:
        table.add_row(*row)
    console().print(table)
