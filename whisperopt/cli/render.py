"""The tables of builds and decisions, on stderr; those of `inspect` are in `render_facts.py`."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from whisperopt.backend import Tier
from whisperopt.fetcher import Decision
from whisperopt.release.report import CandidateReport, Report, TargetReport

_STYLE: dict[str, str] = {Tier.MEASURED: "green", Tier.EMULATED: "cyan", Tier.STRUCTURAL: "yellow"}


_UNNEEDED = "not needed:"
"""How the reason of a stand-in begins whose better rung is accepted; one row tells them all."""


def console() -> Console:
    """Return where tables go; wide enough for reasons where nobody watches."""
    terminal = sys.stderr.isatty()
    return Console(stderr=True, highlight=False, markup=False, width=None if terminal else 140)


def show_report(report: Report) -> None:
    """Print a build's outcome: each target's selected variant, and why every loser lost."""
    output = console()
    table = Table(title=f"{report.model}: one variant for each target", title_justify="left")
    for column in ("target", "selected", "tier"):
        table.add_column(column, no_wrap=True)
    for column in ("WER %", "increase", "tokens equal", "latency ms", "RTFx", "MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for target in report.targets:
        table.add_row(*_target_row(target))
    output.print(table)
    losers = Table(title="Not selected, and why", title_justify="left")
    losers.add_column("variant", no_wrap=True)
    losers.add_column("tier", no_wrap=True)
    losers.add_column("reason")
    for target in report.targets:
        spared = [one for one in target.candidates if one.reason.startswith(_UNNEEDED)]
        for candidate in target.candidates:
            if candidate.name != target.selected and candidate not in spared:
                mark = "" if candidate.accepted else "rejected: "
                losers.add_row(candidate.name, _tier(candidate.tier), f"{mark}{candidate.reason}")
        if spared:
            names = ", ".join(one.name.removeprefix(f"{target.name}-") for one in spared)
            losers.add_row(f"{target.name}: stand-ins", "", f"{_UNNEEDED} {names}")
    if losers.row_count:
        output.print(losers)
    rehearsals = _rehearsals(report)
    if rehearsals.row_count:
        output.print(rehearsals)
    output.print(_footer(report))


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


def _target_row(target: TargetReport) -> Iterable[str | Text]:
    best = next((c for c in target.candidates if c.name == target.selected), None)
    if best is None:
        return (target.name, Text("none", style="red"), *[""] * 7)
    return (target.name, best.name, _tier(best.tier), *_numbers(best))


def _numbers(candidate: CandidateReport) -> list[str]:
    metrics = candidate.metrics
    real = candidate.tier is Tier.MEASURED  # a stand-in's speed says nothing about the device
    return [
        _number(metrics.wer, ".2f"),
        _number(metrics.wer_delta, "+.2f"),
        _number(metrics.token_match and metrics.token_match * 100, ".0f", " %"),
        _number(metrics.latency_ms_p50 if real else None, ".0f"),
        _number(metrics.rtfx if real else None, ".1f"),
        _number((metrics.size_bytes or 0) / 1e6, ".0f"),
    ]


def _footer(report: Report) -> str:
    lines = [f"Built in {report.seconds:.0f} s by whisperopt {report.whisperopt}."]
    if report.core_wer is not None:
        lines.append(
            f"The fp32 core model's own WER on the clip set '{report.clip_set}' is"
            f" {report.core_wer:.2f} %. Increases are in percent points against its WER on the same"
            " clips; an emulated variant hears every third one."
        )
        lines.append(
            "measured: ran here on its device; emulated: its very graphs ran here on the CPU,"
            " its speed is unknown."
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
