"""Renders a report as one HTML page that needs neither network nor script."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby

from whisperopt.matrix import Gates
from whisperopt.proof.clips import ClipSet
from whisperopt.proof.evidence import Evidence
from whisperopt.release.report import Report
from whisperopt.report import tables
from whisperopt.report.entries import Entry, gather, on_front
from whisperopt.report.fates import TIERS, Fate, outcome
from whisperopt.report.ladder import ladder
from whisperopt.report.marks import badge, tier
from whisperopt.report.markup import Content, Html, named, tag
from whisperopt.report.numbers import counted, number
from whisperopt.report.scatter import scatter
from whisperopt.report.style import STYLE

FILE = "report.html"
"""Its name in a release."""
_WIDE, _NARROW = 820.0, 350.0


def render(
    report: Report,
    evidence: Mapping[str, Evidence],
    core: Evidence | None,
    *,
    clip_set: ClipSet | None = None,
    gates: Mapping[str, Gates] | None = None,
) -> str:
    """Return the page as text.

    `evidence` is by variant, `gates` by target. Without `core` clips are not compared, without
    `clip_set` (for the transcripts) only with the core model's words, and without `gates` no line
    is drawn; evidence of other clips than the core model's is not compared either.
    """
    entries = gather(report, evidence, core, clip_set, gates or {})
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
        ("built", f"{_moment(report.created)}, in {report.seconds:,.0f} s"),
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


def _moment(created: str) -> str:
    """Shorten an ISO time to the minute; anything else stays as it is."""
    try:
        moment = datetime.fromisoformat(created)
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment.tzinfo else created
    except (OverflowError, ValueError):
        return created


def _sections(report: Report, entries: tuple[Entry, ...]) -> list[Html]:
    by_target = {t: list(own) for t, own in groupby(entries, key=lambda e: e.target.name)}
    ladders = [
        ladder(target, by_target.get(target.name, []), place)
        for place, target in enumerate(report.targets)
    ]
    why = "Every candidate that was tried, and what became of it."
    return [
        tag("section", tag("h2", "At a glance"), tables.overview(report, entries)),
        _time_and_errors(report, entries),
        _words(entries),
        tag("section", tag("h2", "Ladders"), tag("p", why, class_="aside"), ladders, id="ladders"),
        tag("section", tag("h2", "All numbers"), _folded(entries)),
        tag(
            "section",
            tag("h2", "Machine and versions"),
            tag("div", tables.machine(report.host), tables.versions(report), class_="pair"),
            _features(report),
        ),
        _reading(),
    ]


def _time_and_errors(report: Report, entries: tuple[Entry, ...]) -> Html:
    """Show errors against time: only what was measured has a time."""
    placed = [(entry, point) for entry in entries if (point := entry.point) is not None]
    elsewhere = sum(e.change is not None and e.point is None for e in entries)
    are = "is not in this picture: its" if elsewhere == 1 else "are not in this picture: their"
    left_out = f"{counted(elsewhere, 'variant')} not measured on a device {are} speed is unknown."
    note = tag("p", left_out, class_="aside") if elsewhere else None
    title = tag("h2", "Errors against time")
    if not placed:
        none = tag("p", "Nothing was measured on a device here, so there is no time to show.")
        return tag("section", title, none, note)
    best = on_front(entries)
    gates = sorted({entry.gate for entry, _ in placed if entry.gate is not None})
    points = [point for _, point in placed]
    drawn = [
        tag(
            "div",
            scatter(points, best, gates, report.core_wer, width=width),
            class_=class_,
        )
        for width, class_ in ((_WIDE, "wide"), (_NARROW, "slim"))
    ]
    caption = tag(
        "figcaption",
        "Left is faster, down is more accurate. ",
        _front(sorted(best)) if best else None,
        "Upright lines are 95 % intervals.",
    )
    return tag(
        "section",
        title,
        tag("figure", drawn, _legend({point.fate for point in points}), caption),
        note,
    )


def _front(best: Sequence[str]) -> list[Content]:
    names: list[Content] = [(", " if place else "", named(one)) for place, one in enumerate(best)]
    said = (
        "The stairs are the Pareto front: nothing accepted is both faster and more accurate than "
    )
    return [said, *names, ". "]


def _words(entries: tuple[Entry, ...]) -> Html:
    title = tag("h2", "What the clips can tell")
    table = tables.changes(entries)
    if table is None:
        return tag("section", title, tag("p", "No variant was heard: there is no WER to compare."))
    intro = (
        "The line is the 95 % interval of the change, from drawing the clips again and again. The"
        " solid line is the core model, the dashed one the gate; an arrow lies beyond the picture."
        " What was not measured is hollow; it may have heard fewer clips and is compared on those."
    )
    return tag("section", title, tag("p", intro, class_="aside"), table)


def _folded(entries: Sequence[Entry]) -> Html:
    return tag("details", tag("summary", "Show the table"), tables.all_numbers(entries))


def _features(report: Report) -> Html | None:
    features = " ".join(report.host.cpu_features)
    if not features:
        return None
    summary = tag("summary", f"{len(report.host.cpu_features)} processor features")
    return tag("details", summary, tag("p", features, class_="facts"))


def _legend(shown: set[Fate]) -> Html:
    return tag(
        "ul",
        [tag("li", badge(fate)) for fate in Fate if fate in shown],
        class_="legend",
    )


def _reading() -> Html:
    tiers = [tag("div", tag("dt", tier(one)), tag("dd", text)) for one, text in TIERS.items()]
    fates = [tag("div", tag("dt", badge(fate)), tag("dd", fate.meaning)) for fate in Fate]
    terms: dict[str, Content] = {
        "WER": "Word error rate, after Whisper's own text normalisation. The change is in percent"
        " points against the fp32 core model on the same clips, so a clip that both get wrong"
        " counts for neither.",
        "interval": "Clips are drawn again in pairs, a thousand times; 95 % of the changes lie"
        " inside. It speaks of clips like these, not of other voices or languages.",
        "time for a clip": "The median over the clips, on the machine that built this. Medians less"
        " than 5 % apart are too close to call: then the smaller variant wins.",
        "marks in texts": [
            tag("ins", "underlined"),
            " was heard and not said, ",
            tag("del", "struck out"),
            " was said and not heard. Texts are normalised.",
        ],
    }
    words = [tag("div", tag("dt", key), tag("dd", text)) for key, text in terms.items()]
    return tag(
        "section",
        tag("h2", "How to read this"),
        tag("dl", tiers, fates, words, class_="reading"),
        class_="how",
    )


def _footer() -> Html:
    text = "The same facts are in report.json, the raw samples in evidence/."
    return tag("footer", tag("p", text))
