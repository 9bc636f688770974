"""Progress and the tables of builds and decisions, on stderr."""

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.table import Table
from rich.text import Text

from whisperopt.backend import Tier
from whisperopt.matrix import LATENCY, Objective
from whisperopt.reasons import shown
from whisperopt.release.report import CandidateReport, Report, TargetReport
from whisperopt.selection.decisions import Decision

_STYLE: dict[str, str] = {Tier.MEASURED: "green", Tier.EMULATED: "cyan", Tier.STRUCTURAL: "yellow"}
_NUMBERS = ("WER %", "increase", "tokens equal", "latency ms", "RTFx", "MB")

Row = Sequence[str | Text]


def console() -> Console:
    """Return where tables go; wide enough for reasons where nobody watches."""
    terminal = sys.stderr.isatty()
    width = None if terminal else 140
    return Console(stderr=True, highlight=False, markup=False, emoji=False, width=width)


@contextmanager
def progress() -> Iterator[Callable[[str, str], None]]:
    """Yield what shows that a name is at something; without a name it is the last one named.

    A spinner on a terminal, plain lines elsewhere: quiet about single clips where nobody watches.
    """
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    started, last = time.monotonic(), ""
    with console.status("starting") if console.is_terminal else nullcontext() as status:

        def update(name: str, doing: str) -> None:
            nonlocal last
            last = name or last
            seconds = time.monotonic() - started
            line = Text.assemble((f"{seconds:6.1f} s", "dim"), f" {shown(last)}: {shown(doing)}")
            if status is not None:
                status.update(line)
            if name:
                console.print(line)

        yield update


def arriving(update: Callable[[str, str], None]) -> Callable[[str, int, int], None]:
    """Return what shows how much of a file has arrived, and how fast it comes."""
    began: dict[str, tuple[float, int]] = {}

    def arrived(file: str, done: int, size: int) -> None:
        now = time.monotonic()
        since, first = began.setdefault(file, (now, done))
        rate = (done - first) / 1e6 / max(now - since, 0.1)
        share = 100 * done // max(size, 1)
        update("", f"{file} {share} % of {size / 1e6:.1f} MB, {rate:.1f} MB/s")

    return arrived


def show_rows(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Row],
    *,
    numbers: Collection[str] = (),
    wrapped: Collection[str] | None = None,
) -> None:
    """Print a table: `numbers` flush right, line breaks only in the columns that are `wrapped`.

    By default that is the last one.
    """
    table = Table(title=shown(title), title_justify="left")
    for column in columns:
        if column in numbers:
            table.add_column(column, justify="right", no_wrap=True)
        else:
            table.add_column(column, no_wrap=column not in (wrapped or columns[-1:]))
    for row in rows:
        table.add_row(*map(_cell, row))
    console().print(table)


def show_line(text: str) -> None:
    """Print a sentence below a table, broken where the terminal ends."""
    console().print(shown(text))


def _cell(content: str | Text) -> Text:
    """Return what a cell may show of what somebody else may have written."""
    if isinstance(content, str):
        return Text(shown(content, lines=True))
    return Text(shown(content.plain, lines=True), style=content.style)


def show_report(report: Report, objectives: Mapping[str, Objective]) -> None:
    """Print a build's outcome: each target's selected variant, and why every loser lost.

    `objectives` of the targets say which columns are of interest.
    """
    asked = [objectives.get(target.name, LATENCY) for target in report.targets]
    by_memory = any(aim.goal == "memory" or "peak_rss_mb" in aim.at_most for aim in asked)
    more = ["throughput"] if any(aim.goal == "throughput" for aim in asked) else []
    more += ["memory MB"] if by_memory else []
    numbers = (*_NUMBERS, *more)
    show_rows(
        f"{report.model}: one variant for each target",
        ("target", "selected", "tier", *numbers),
        [_selected(target, numbers) for target in report.targets],
        numbers=numbers,
    )
    if languages := list(_languages(report)):
        rates = ("clips", "heard", "rate %", "increase", "95 % interval")
        columns = ("selected", "language", *rates)
        show_rows("Language by language", columns, languages, numbers=rates)
    if losers := [row for target in report.targets for row in _losers(target)]:
        show_rows("Not selected, and why", ("variant", "tier", "reason"), losers)
    if rehearsed := [row for target in report.targets for row in _rehearsals(target)]:
        title, said = "Rehearsals: the real runtime without its device", ("variants", "result")
        show_rows(title, ("target", *said), rehearsed, wrapped=said)
    notes: dict[str, list[str]] = {}
    for best in filter(None, map(_best, report.targets)):
        for note in best.notes:
            notes.setdefault(note, []).append(best.name)
    for note, names in notes.items():
        show_line(f"{', '.join(names)}: {note}.")
    show_line(_footer(report))


def _selected(target: TargetReport, numbers: Sequence[str]) -> Row:
    best = _best(target)
    if best is None:
        return (target.name, Text("none", style="red"), *[""] * (1 + len(numbers)))
    found = _numbers(best)
    return (target.name, _name(best), _tier(best.tier), *(found[column] for column in numbers))


def _languages(report: Report) -> Iterator[Row]:
    """Yield the errors of what was selected by language, where that is more than English."""
    for best in filter(None, map(_best, report.targets)):
        found = best.metrics.languages
        if len(found) > 1 or any(language.unit != "words" for language in found):
            for language in found:
                low, high = language.interval
                heard = f"{language.units:,} {language.unit}"
                rates = (f"{language.rate:.2f}", f"{language.delta:+.2f}")
                reach = f"{low:+.2f} … {high:+.2f}"
                yield (best.name, language.language, str(language.clips), heard, *rates, reach)


def _losers(target: TargetReport) -> Iterator[Row]:
    """Yield why the others were not selected; stand-ins that were not needed share a row."""
    for candidate in target.candidates:
        if candidate.fate not in {"selected", "not needed"}:
            why = candidate.reason
            if candidate.fate == "rejected":  # each proof against it on a line
                why = "rejected: " + why.replace("; ", "\n  ")
            yield _name(candidate), _tier(candidate.tier), why
    spared = [c.name for c in target.candidates if c.fate == "not needed"]
    if spared:
        names = ", ".join(name.removeprefix(f"{target.name}-") for name in spared)
        yield f"{target.name}: stand-ins", "", f"not needed: {names}"


def _rehearsals(target: TargetReport) -> Iterator[Row]:
    """Yield what the real runtimes said without their devices, each reason once."""
    alike: dict[str, list[str]] = {}
    for candidate in target.candidates:
        for found in candidate.rehearsals:
            mark = {True: "passed: ", False: "failed: ", None: ""}[found.passed]
            said = f"{found.runtime} {found.version or ''}".rstrip() + f": {found.reason}"
            alike.setdefault(mark + said, []).append(candidate.name)
    for said, names in alike.items():
        yield target.name, ", ".join(names), said


def _best(target: TargetReport) -> CandidateReport | None:
    return next((c for c in target.candidates if c.name == target.selected), None)


def _name(candidate: CandidateReport) -> str:
    return f"{candidate.name} ◆" if candidate.pareto else candidate.name


def _numbers(candidate: CandidateReport) -> dict[str, str]:
    metrics = candidate.metrics
    real = candidate.tier is Tier.MEASURED  # a stand-in's speed says nothing about the device
    low, high = metrics.latency_ms_interval or (None, None)
    reach = f" ({_time(low)}–{_time(high)})" if real and low is not None else ""
    return {
        "WER %": _number(metrics.wer, ".2f"),
        "increase": _number(metrics.wer_delta, "+.2f"),
        "tokens equal": _number(metrics.token_match and metrics.token_match * 100, ".0f", " %"),
        "latency ms": _time(metrics.latency_ms_p50 if real else None) + reach,
        "RTFx": _number(metrics.rtfx if real else None, ".1f"),
        "MB": _number((metrics.size_bytes or 0) / 1e6, ".0f"),
        "throughput": _number(metrics.throughput if real else None, ".1f"),
        "memory MB": _number(metrics.peak_rss_mb if real else None, ".0f"),
    }


def _time(milliseconds: float | None) -> str:
    short = milliseconds is not None and milliseconds < 100
    return _number(milliseconds, ".1f" if short else ".0f")


def _footer(report: Report) -> str:
    lines = [f"Made in {report.seconds:.0f} s by whisperopt {report.whisperopt}."]
    aims: dict[str, list[str]] = {}
    for target in report.targets:
        aims.setdefault(target.objective, []).append(target.name)
    if set(aims) - {str(LATENCY)}:
        said = "; ".join(f"{aim} ({', '.join(names)})" for aim, names in aims.items())
        lines.append(f"The objective was {said}.")
    if report.core_wer is not None:
        lines.append(
            f"The fp32 core model's own WER on the clip set '{report.clip_set}' is"
            f" {report.core_wer:.2f} %. Increases are in percent points against its WER on the same"
            " clips; a variant that is emulated, or not selected, may have heard fewer."
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
    rows: list[Row] = []
    for decision in decisions:
        mark = "✗" if not decision.accepted else "" if rows else "→"
        why = f"{decision.reason}. {decision.hint}" if decision.hint else decision.reason
        rows.append((mark, decision.variant.name, _tier(decision.variant.tier), why))
    show_rows(f"{model} on this host", ("", "variant", "tier", "why"), rows)
