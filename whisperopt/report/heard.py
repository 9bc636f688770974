"""What the clips can tell: changes of the WER with their intervals, languages, and what is open."""

import math
from collections.abc import Sequence

from whisperopt.release.report import LanguageErrors
from whisperopt.report import scales
from whisperopt.report.charts import ROW_WIDTH, interval_row
from whisperopt.report.entries import Entry, notes
from whisperopt.report.fates import Fate
from whisperopt.report.frame import most_shown
from whisperopt.report.marks import badge, tier
from whisperopt.report.markup import Content, Html, named, tag
from whisperopt.report.numbers import NONE, counted, interval, number, points
from whisperopt.report.tables import LONGEST, Column, table

_FEW = 3
"""So many variants are named beside a note; more are counted."""
_MOST = 6
"""So many languages stand in a summary."""
_DRAWN = "stacked drawn"


def heard(entries: Sequence[Entry]) -> Html:
    """Return the section."""
    title = tag("h2", "What the clips can tell")
    told = [entry for entry in entries if entry.change is not None]
    if not told:
        none = "No variant was heard: there is no WER to compare."
        return tag("section", title, tag("p", none))
    intro = (
        "The line is the 95 % interval of the change, from drawing the clips again and again. The"
        " solid line is the core model, the dashed one the gate; an arrow lies beyond the picture."
        " What was not measured is hollow; it may have heard fewer clips and is compared on those."
    )
    aside = tag("p", intro, class_="aside")
    return tag("section", title, aside, _changes(told), _open(told), _languages(told))


def languages(found: Sequence[LanguageErrors], gate: float | None, fate: Fate) -> Html:
    """Fold away one variant's errors by language; the changes stay in sight."""
    rows = [[tag("bdi", one.language), *_language(one, found, gate, fate)] for one in found]
    columns = [Column("language"), *_columns()]
    parts: list[Content] = [
        (", " if place else "", tag("bdi", one.language), f" {points(one.delta)}")
        for place, one in enumerate(found[:_MOST])
    ]
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    summary = tag("summary", "By language: ", parts, more)
    return tag("details", summary, table("Errors by language", columns, rows, class_=_DRAWN))


def many(found: Sequence[LanguageErrors]) -> bool:
    """Say whether a table of languages tells more than the one number of words."""
    return len(found) > 1 or any(one.unit == "characters" for one in found)


def _changes(told: Sequence[Entry]) -> Html:
    gates = [entry.gate for entry in told if entry.gate is not None]
    fine = [e for e in told if e.fate is not Fate.REJECTED]
    reach = [b for e in fine for b in e.bounds or ()]
    most = most_shown([abs(b) for b in (*reach, *(e.change or 0.0 for e in fine))], gates)
    shown = [*reach, *(e.change or 0.0 for e in told)]
    scale = scales.changes(shown, gates, 10.0, ROW_WIDTH - 10, most=most)
    columns = [
        *(Column("variant"), Column("fate"), Column("proof")),
        *(Column("worse to the right"), Column("change", figures=True)),
        Column("95 % interval", figures=True),
    ]
    caption = "Change of the WER against the core model on the same clips, percent points"
    return table(caption, columns, [_change(e, scale) for e in told], class_=_DRAWN)


def _change(entry: Entry, scale: scales.Scale) -> list[Content]:
    change = entry.change or 0.0
    drawn = interval_row(
        scale,
        change,
        entry.bounds,
        gate=entry.gate,
        fate=entry.fate,
        hollow=not entry.measured,
    )
    return [
        named(entry.candidate.name, LONGEST),
        badge(entry.fate),
        tier(entry.candidate.tier),
        drawn,
        points(change),
        interval(entry.bounds),
    ]


def _open(told: Sequence[Entry]) -> Html | None:
    """List what the clips cannot tell, each note once."""
    found = notes(told)
    if not found:
        return None
    items = [
        tag("li", tag("b", _whose(own, len(told))), f": {note}.") for note, own in found.items()
    ]
    return tag("div", tag("h3", "What they cannot tell"), tag("ul", items), class_="open")


def _whose(own: Sequence[Entry], of: int) -> Content:
    if len(own) == of > 1:
        return f"all {of} variants"
    if len(own) > _FEW:
        return counted(len(own), "variant")
    return [
        (", " if place else "", named(e.candidate.name, LONGEST)) for place, e in enumerate(own)
    ]


def _languages(told: Sequence[Entry]) -> Html | None:
    """Tabulate the errors of the selected variants by language, where that tells more."""
    shown = [e for e in told if e.fate is Fate.SELECTED and many(e.candidate.metrics.languages)]
    if not shown:
        return None
    every = [one for entry in shown for one in entry.candidate.metrics.languages]
    rows: list[list[Content]] = [
        [
            (named(entry.candidate.name, LONGEST), " ", tag("bdi", one.language)),
            *_language(one, every, entry.gate, entry.fate),
        ]
        for entry in shown
        for one in entry.candidate.metrics.languages
    ]
    columns = [Column("selected variant, language"), *_columns()]
    caption = "WER, or CER where no spaces are written; changes in percent points"
    made = table(caption, columns, rows, class_=_DRAWN)
    return tag("div", tag("h3", "Language by language"), made, class_="open")


def _columns() -> list[Column]:
    return [
        *(Column("clips", figures=True), Column("heard", figures=True)),
        *(Column("error rate", figures=True), Column("worse to the right")),
        *(Column("change", figures=True), Column("95 % interval", figures=True)),
    ]


def _language(
    one: LanguageErrors, among: Sequence[LanguageErrors], gate: float | None, fate: Fate
) -> list[Content]:
    gates = [] if gate is None else [gate]
    bounds = one.interval if all(map(math.isfinite, one.interval)) else None
    reach = [value for other in among for value in (other.delta, *other.interval)]
    reach = [value for value in reach if math.isfinite(value)]
    most = most_shown([abs(value) for value in reach], gates)
    scale = scales.changes(reach, gates, 10.0, ROW_WIDTH - 10, most=most)
    drawn: Content = NONE
    if math.isfinite(one.delta):
        drawn = interval_row(scale, one.delta, bounds, gate=gate, fate=fate, hollow=False)
    kind = "CER" if one.unit == "characters" else "WER"
    return [
        str(one.clips),
        f"{one.units:,} {one.unit}",
        f"{kind} {number(one.rate, unit=' %')}",
        drawn,
        points(one.delta),
        interval(one.interval),
    ]
