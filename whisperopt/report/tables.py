"""Tables: what was selected, what was heard, every number, the machine."""

from collections.abc import Iterable, Sequence

import msgspec

from whisperopt.host import Host
from whisperopt.release.report import Report, TargetReport
from whisperopt.report import scales
from whisperopt.report.charts import ROW_WIDTH, interval_row
from whisperopt.report.entries import Entry
from whisperopt.report.fates import Fate
from whisperopt.report.marks import badge, tier
from whisperopt.report.markup import Content, Html, named, tag
from whisperopt.report.numbers import NONE, interval, megabytes, number, percent, points
from whisperopt.report.scatter import most_shown

LONGEST = 48
"""Names in tables are cut to so many letters; the ladders have them whole."""


class Column(msgspec.Struct, frozen=True):
    """A column's heading, and whether it holds numbers."""

    heading: str
    figures: bool = False


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Content]], *, class_: str = ""
) -> Html:
    """Return a table whose first column names the rows; roles survive a layout without cells."""
    kinds = ["figures" if column.figures else None for column in columns]
    head = [
        tag("th", column.heading, scope="col", role="columnheader", class_=kind)
        for column, kind in zip(columns, kinds, strict=True)
    ]
    body = []
    for row in rows:
        cells = [
            tag("td", cell, role="cell", class_=_class(cell, kind), data_label=column.heading)
            for cell, column, kind in zip(row, columns, kinds, strict=True)
        ]
        cells[0] = tag("th", row[0], scope="row", role="rowheader")
        body.append(tag("tr", cells, role="row"))
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", head, role="row"), role="rowgroup"),
        tag("tbody", body, role="rowgroup"),
        role="table",
        class_=class_ or None,
    )


def _class(cell: Content, kind: str | None) -> str | None:
    empty = "empty" if cell == NONE else None
    return " ".join(filter(None, (kind, empty))) or None


def scrolled(label: str, content: Html) -> Html:
    """Let wide `content` move sideways within itself, also by keyboard."""
    return tag("div", content, class_="scrolled", tabindex=0, role="region", aria_label=label)


def overview(report: Report, entries: Sequence[Entry]) -> Html:
    """Tabulate what each target got."""
    columns = [
        *(Column("target"), Column("selected"), Column("proof")),
        *(Column("WER", figures=True), Column("core model's", figures=True)),
        *(
            Column("change", figures=True),
            Column("time for a clip", figures=True),
            Column("speed", figures=True),
        ),
        Column("size", figures=True),
    ]
    chosen = {e.target.name: e for e in entries if e.fate is Fate.SELECTED}
    rows = [_overview_row(t, chosen.get(t.name), n) for n, t in enumerate(report.targets)]
    return table("What each target got", columns, rows, class_="stacked")


def _overview_row(target: TargetReport, entry: Entry | None, place: int) -> list[Content]:
    link = tag("a", named(target.name, LONGEST), href=f"#target-{place}")
    if entry is None:
        nothing = "nothing could be selected" + (" (required)" if target.required else "")
        return [link, tag("strong", f"✗ {nothing}", class_="nothing"), *[NONE] * 7]
    metrics = entry.candidate.metrics
    return [
        link,
        named(entry.candidate.name, LONGEST),
        tier(entry.candidate.tier),
        number(metrics.wer, unit=" %"),
        number(entry.core_wer, unit=" %"),
        points(entry.change),
        number(entry.latency, ",.0f", " ms"),
        number(metrics.rtfx if entry.measured else None, ".1f", "×"),
        megabytes(metrics.size_bytes),
    ]


def changes(entries: Sequence[Entry]) -> Html | None:
    """Tabulate how the WER of every variant that was heard changed, with its interval drawn."""
    heard = [entry for entry in entries if entry.change is not None]
    if not heard:
        return None
    gates = [entry.gate for entry in heard if entry.gate is not None]
    fine = [e for e in heard if e.fate is not Fate.REJECTED]
    reach = [b for e in fine for b in e.bounds or ()]
    most = most_shown([abs(b) for b in (*reach, *(e.change or 0.0 for e in fine))], gates)
    shown = [*reach, *(e.change or 0.0 for e in heard)]
    scale = scales.changes(shown, gates, 10.0, ROW_WIDTH - 10, most=most)
    columns = [
        *(Column("variant"), Column("fate"), Column("proof")),
        *(Column("worse to the right"), Column("change", figures=True)),
        Column("95 % interval", figures=True),
    ]
    caption = "Change of the WER against the core model on the same clips, percent points"
    return table(caption, columns, [_change_row(e, scale) for e in heard], class_="stacked drawn")


def _change_row(entry: Entry, scale: scales.Scale) -> list[Content]:
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


def all_numbers(entries: Sequence[Entry]) -> Html:
    """Tabulate every number of every candidate."""
    headings = (
        *("WER %", "change", "WER against core %", "tokens equal", "encoder cosine"),
        *("top-1 agreement", "KL, nats", "in a batch of two", "largest activation"),
        *("time, ms", "× real time", "size", "peak memory, MB"),
    )
    columns = [Column("variant"), *(Column(heading, figures=True) for heading in headings)]
    rows: list[list[Content]] = [[named(e.candidate.name, LONGEST), *_figures(e)] for e in entries]
    label = "Every number"
    return scrolled(label, table(label, columns, rows))


def _figures(entry: Entry) -> list[str]:
    metrics = entry.candidate.metrics
    return [
        number(metrics.wer),
        points(metrics.wer_delta),
        number(metrics.wer_vs_core),
        percent(metrics.token_match),
        number(metrics.encoder_cosine, ".6f"),
        percent(metrics.top1_agreement, ".2f"),
        number(metrics.kl_divergence, ".2g"),
        percent(metrics.batch_agreement),
        number(metrics.max_activation, ",.0f"),
        number(entry.latency, ",.0f"),
        number(metrics.rtfx if entry.measured else None, ".1f"),
        megabytes(metrics.size_bytes),
        number(metrics.peak_rss_mb, ",.0f"),
    ]


def versions(report: Report) -> Html:
    """Tabulate the runtimes on the building host, and what the backends found."""
    found = [(name, version) for name, version in sorted(report.host.runtimes.items())]
    rows: list[Sequence[Content]] = [[named("whisperopt"), report.whisperopt]]
    rows += [[named(name, LONGEST), version] for name, version in found]
    rows += [[("backend ", named(t.backend)), t.runtime] for t in _one_for_each(report.targets)]
    caption = "Runtimes, as they were found"
    return table(caption, [Column("what"), Column("version, or what is missing")], rows)


def machine(host: Host) -> Html:
    """List the facts of one machine."""
    gpus = [
        " ".join(
            filter(
                None,
                [
                    gpu.name,
                    f"({gpu.memory_mb:,} MB)" if gpu.memory_mb else "",
                    f"driver {gpu.driver}" if gpu.driver else "",
                    f"compute {gpu.compute_capability}" if gpu.compute_capability else "",
                ],
            )
        )
        for gpu in host.gpus
    ]
    rows: list[Sequence[Content]] = [
        ["system", f"{host.os} {host.arch}"],
        ["processor", f"{host.cpu_vendor}, {host.isa}"],
        ["cores in use", str(host.cores)],
        ["graphics", "; ".join(gpus) or "none"],
    ]
    rows += [[("broken: ", named(name)), why] for name, why in sorted(host.broken.items())]
    return table("The machine that built this", [Column("fact"), Column("value")], rows)


def _one_for_each(targets: Sequence[TargetReport]) -> list[TargetReport]:
    return list({target.backend: target for target in targets}.values())
