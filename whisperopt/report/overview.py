"""Tables of numbers: what each target got, and every number of every candidate."""

from collections.abc import Sequence

from whisperopt.release.report import Report, TargetReport
from whisperopt.report.entries import Entry
from whisperopt.report.fates import Fate
from whisperopt.report.marks import tier
from whisperopt.report.markup import Content, Html, named, tag
from whisperopt.report.numbers import (
    NONE,
    interval,
    megabytes,
    milliseconds,
    number,
    percent,
    points,
    rounds,
    speed,
)
from whisperopt.report.tables import LONGEST, Column, scrolled, table


def overview(report: Report, entries: Sequence[Entry]) -> Html:
    """Tabulate what each target got."""
    columns = [
        *(Column("target"), Column("selected"), Column("proof")),
        *(Column("WER", figures=True), Column("change", figures=True)),
        *(Column("time for a clip", figures=True), Column("speed", figures=True)),
        *(Column("many at once", figures=True), Column("memory", figures=True)),
        Column("size", figures=True),
    ]
    chosen = {e.target.name: e for e in entries if e.fate is Fate.SELECTED}
    rows = [_overview_row(t, chosen.get(t.name), n) for n, t in enumerate(report.targets)]
    return table("What each target got", columns, rows, class_="stacked")


def _overview_row(target: TargetReport, entry: Entry | None, place: int) -> list[Content]:
    link = tag("a", named(target.name, LONGEST), href=f"#target-{place}")
    if entry is None:
        nothing = "nothing could be selected" + (" (required)" if target.required else "")
        return [link, tag("strong", f"✗ {nothing}", class_="nothing"), *[NONE] * 8]
    metrics = entry.candidate.metrics
    return [
        link,
        named(entry.candidate.name, LONGEST),
        tier(entry.candidate.tier),
        number(metrics.wer, unit=" %"),
        with_range(points(entry.change), interval(entry.bounds)),
        latency(entry),
        speed(entry.rtfx),
        with_range(speed(entry.throughput), rounds(entry.throughput_bounds)),
        number(metrics.peak_rss_mb if entry.measured else None, ",.0f", " MB"),
        megabytes(metrics.size_bytes),
    ]


def latency(entry: Entry) -> Content:
    """Return the time for a clip, with the range of the rounds below it."""
    return with_range(milliseconds(entry.latency), rounds(entry.latency_bounds))


def with_range(value: str, reach: str) -> Content:
    """Return a number with its range below it in small letters."""
    if NONE in (reach, value):
        return value
    return [value, " ", tag("small", reach)]


def all_numbers(entries: Sequence[Entry]) -> Html:
    """Tabulate every number of every candidate that has any."""
    headings = (
        *("WER %", "change", "95 % interval", "WER against core %", "clips no worse"),
        *("tokens equal", "encoder cosine", "encoder error", "top-1 agreement", "KL, nats"),
        *("in a batch of two", "largest activation", "time, ms", "rounds, ms", "× real time"),
        *("many at once, ×", "memory, MB", "energy, J", "size"),
    )
    columns = [Column("variant"), *(Column(heading, figures=True) for heading in headings)]
    made = [entry for entry in entries if entry.fate is not Fate.NOT_NEEDED]
    rows: list[list[Content]] = [
        [named(e.candidate.name, LONGEST), *_quality(e), *_speed(e)] for e in made
    ]
    label = "Every number"
    return scrolled(label, table(label, columns, rows))


def _quality(entry: Entry) -> list[str]:
    metrics = entry.candidate.metrics
    return [
        number(metrics.wer),
        points(metrics.wer_delta),
        interval(entry.bounds),
        number(metrics.wer_vs_core),
        percent(metrics.clips_no_worse),
        percent(metrics.token_match),
        number(metrics.encoder_cosine, ".6f"),
        number(metrics.encoder_relative_error, ".2g"),
        percent(metrics.top1_agreement, ".2f"),
        number(metrics.kl_divergence, ".2g"),
        percent(metrics.batch_agreement),
        number(metrics.max_activation, ",.0f"),
    ]


def _speed(entry: Entry) -> list[str]:
    metrics = entry.candidate.metrics
    joules = entry.evidence.machine.joules if entry.evidence and entry.measured else None
    return [
        milliseconds(entry.latency, ""),
        rounds(entry.latency_bounds),
        speed(entry.rtfx, ""),
        speed(entry.throughput, ""),
        number(metrics.peak_rss_mb, ",.0f"),
        number(joules, ",.0f"),
        megabytes(metrics.size_bytes),
    ]
