"""Renders a report as one HTML page that needs neither network nor script."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from itertools import groupby

from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.matrix import Gates
from whisperopt.release.report import Report, TargetReport
from whisperopt.report.entries import Entry, gather
from whisperopt.report.fates import Fate, outcome
from whisperopt.report.frame import Point
from whisperopt.report.heard import heard
from whisperopt.report.ladder import ladder
from whisperopt.report.machines import machines
from whisperopt.report.marks import badge
from whisperopt.report.markup import Content, Html, named, tag
from whisperopt.report.numbers import counted, moment, number
from whisperopt.report.overview import all_numbers, overview
from whisperopt.report.reading import reading
from whisperopt.report.scatter import scatter
from whisperopt.report.style import STYLE

FILE = "report.html"
"""Its name in a release."""
_WIDE, _HALF, _NARROW = 820.0, 520.0, 350.0


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
    entries = gather(report, evidence, answers, gates or {})
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{report.model}: whisperopt report"),
        tag("style", Html(STYLE)),
    )
    skip = tag("a", "To the ladders", href="#ladders", class_="skip")
    body = tag("body", skip, _header(report), tag("main", _sections(report, entries)), _footer())
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en').markup}\n"


def _header(report: Report) -> Html:
    host = report.host
    core = f"{number(report.core_wer)} % WER" if report.core_wer is not None else "not run"
    facts: list[tuple[str, Content]] = [
        ("weights", [report.source, " ", tag("span", report.checkpoint[:19], class_="name")]),
        ("core model, fp32", core),
        ("clips", report.clip_set or "none: built without proof"),
        ("machine", f"{host.os} {host.arch}, {host.cpu_vendor} {host.isa}, {host.cores} cores"),
        ("made", f"{moment(report.created)}, in {report.seconds:,.0f} s"),
        ("whisperopt", report.whisperopt),
    ]
    return tag(
        "header",
        tag("p", "whisperopt report", class_="overline"),
        tag("h1", named(report.model), class_="long" if len(report.model) > 24 else None),
        tag("p", outcome(report), class_="outcome"),
        tag(
            "dl",
            [tag("div", tag("dt", key), tag("dd", value)) for key, value in facts],
            class_="facts",
        ),
    )


def _sections(report: Report, entries: tuple[Entry, ...]) -> list[Html]:
    by_target = {t: list(own) for t, own in groupby(entries, key=lambda e: e.target.name)}
    ladders = [
        ladder(target, by_target.get(target.name, []), place)
        for place, target in enumerate(report.targets)
    ]
    why = "Every candidate that was tried, and what became of it."
    return [
        tag("section", tag("h2", "At a glance"), overview(report, entries)),
        _time_and_errors(report, entries),
        heard(entries),
        tag("section", tag("h2", "Ladders"), tag("p", why, class_="aside"), ladders, id="ladders"),
        tag("section", tag("h2", "All numbers"), _folded(entries)),
        machines(report, entries),
        reading(),
    ]


def _time_and_errors(report: Report, entries: tuple[Entry, ...]) -> Html:
    """Show errors against time, a picture for each target: only what was measured has a time."""
    placed = [(entry, point) for entry in entries if (point := entry.point) is not None]
    elsewhere = sum(e.change is not None and e.point is None for e in entries)
    are = "is not in these pictures: its" if elsewhere == 1 else "are not in these pictures: their"
    left_out = f"{counted(elsewhere, 'variant')} not measured on a device {are} speed is unknown."
    note = tag("p", left_out, class_="aside") if elsewhere else None
    title = tag("h2", "Errors against time")
    if not placed:
        none = tag("p", "Nothing was measured on a device here, so there is no time to show.")
        return tag("section", title, none, note)
    shown = [t for t in report.targets if any(entry.target is t for entry, _ in placed)]
    width = _WIDE if len(shown) == 1 else _HALF
    drawn = [_chart(target, placed, report.core_wer, width) for target in shown]
    raced = [point.reach is not None for _, point in placed]
    level = ", level ones the range of the rounds." if any(raced) else "."
    if any(raced) and not all(raced):
        level += " What has none was timed outside the race: compare with care."
    caption = tag(
        "p",
        "Left is faster, down is more accurate. The stairs are the Pareto front: nothing accepted"
        " is both faster and more accurate. Upright lines are 95 % intervals",
        level,
        class_="aside",
    )
    legend = _legend({point.fate for _, point in placed})
    charts = tag("div", drawn, class_="charts" if len(drawn) > 1 else None)
    return tag("section", title, charts, legend, caption, note)


def _chart(
    target: TargetReport,
    placed: Sequence[tuple[Entry, Point]],
    core_wer: float | None,
    width: float,
) -> Html:
    own = [point for entry, point in placed if entry.target is target]
    among = [point for _, point in placed]
    gates = sorted({e.gate for e, _ in placed if e.target is target and e.gate is not None})
    sizes = ((width, "wide"), (_NARROW, "slim"))
    drawn = [
        tag("div", scatter(own, gates, core_wer, among=among, width=size), class_=class_)
        for size, class_ in sizes
    ]
    host = tag("small", target.host_class) if target.host_class else None
    return tag("figure", tag("figcaption", named(target.name), " ", host), drawn)


def _folded(entries: Sequence[Entry]) -> Html:
    return tag("details", tag("summary", "Show the table"), all_numbers(entries))


def _legend(shown: set[Fate]) -> Html:
    return tag(
        "ul",
        [tag("li", badge(fate)) for fate in Fate if fate in shown],
        class_="legend",
    )


def _footer() -> Html:
    text = "The same facts are in report.json, the raw samples in evidence/."
    return tag("footer", tag("p", text))
