"""Samples as Markdown: one table for speed, one for latency, one for what ran."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from benchmarks.peers import samples
from benchmarks.peers.engine import BATCH, LOT, OURS
from benchmarks.peers.samples import BUCKETS, Part, Row

_TITLES = {
    "clips": "One clip after another, up to 30 s",
    "many": f"Many clips, {LOT} given at once, {BATCH} decoded together where an engine can",
    "long": "Long recordings, each engine's own algorithm",
}
_DASH = "–"


def render(part: Part, *, spoken: bool = True) -> str:
    """Return the tables of one part; without `spoken`, weights of chance, there is no WER."""
    seconds = {one.name: one.seconds for one in part.recordings}
    total = sum(seconds.values())
    lines = [
        f"## {_TITLES[part.job]}",
        "",
        f"{len(seconds)} recordings, {total:.0f} s, {part.rounds} rounds in turns.",
        "",
        *_speed(part, seconds, spoken=spoken),
    ]
    if part.job == "clips":
        lines += ["", *_latency(part, seconds)]
    lines += ["", *_ran(part)]
    return "\n".join(lines) + "\n"


def fastest_peer(part: Part, seconds: dict[str, float]) -> float | None:
    """Return the highest RTFx of the rows that are not ours."""
    peers = [row for row in part.rows if not row.engine.startswith(OURS)]
    return max(filter(None, (samples.rtfx(row, seconds) for row in peers)), default=None)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    cells = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(one.replace('|', chr(92) + '|') for one in row)} |" for row in cells]


def _speed(part: Part, seconds: dict[str, float], *, spoken: bool) -> list[str]:
    peer = fastest_peer(part, seconds)
    rates = _rates(part) if spoken else {}
    head = ["engine", "RTFx", "x fastest peer", "best rounds", "per CPU s", "cores", *rates]
    head += ["first word s", "peak RSS MB", "disk MB"]
    rows = []
    for row in _at_work(part):
        speed = samples.rtfx(row, seconds)
        ratio = speed / peer if speed and peer else None
        cells = [row.engine, number(speed, 1), number(ratio, 2)]
        cells += [number(samples.best_rtfx(row, seconds), 1)]
        cells += [number(samples.thrift(row, seconds), 1), number(samples.cores(row), 1)]
        cells += [number(rate(row), 2) for rate in rates.values()]
        cells += [number(samples.middle_load(row), 2)]
        rows.append(
            [*cells, *(number(n / 1e6 or None, 0) for n in (row.peak_rss, row.disk_bytes))]
        )
    return table(head, rows)


def _rates(part: Part) -> dict[str, Callable[[Row], float | None]]:
    """Return a column for English, and one for all other languages together."""
    languages = {one.language for one in part.recordings}
    groups = {"WER % en": languages & {"en"}}
    others = languages - {"en"}
    groups[f"WER % {'+'.join(sorted(others))}"] = others
    rate = partial(samples.error_rate, recordings=part.recordings)
    return {head: partial(rate, languages=own) for head, own in groups.items() if own}


def _latency(part: Part, seconds: dict[str, float]) -> list[str]:
    counts = [0] * len(BUCKETS)
    for length in seconds.values():
        if (index := samples.bucket(length)) is not None:
            counts[index] += 1
    shown = [index for index, count in enumerate(counts) if count]
    head = ["p50 / p95 ms"]
    head += [f"{BUCKETS[i][0]:.0f}-{BUCKETS[i][1]:.0f} s ({counts[i]})" for i in shown]
    rows = []
    for row in _at_work(part):
        times = samples.by_bucket(row, seconds)
        rows.append([row.engine, *(_pair(samples.percentiles(times[i])) for i in shown)])
    return table(head, rows)


def _pair(found: tuple[float, float] | None) -> str:
    return _DASH if found is None else f"{found[0]:.0f} / {found[1]:.0f}"


def _at_work(part: Part) -> list[Row]:
    """Leave out the engines that have nothing for this job; the last table still tells of them."""
    return [row for row in part.rows if row.what]


def _ran(part: Part) -> list[str]:
    rows = [
        [row.engine, row.what, row.settings, f"**{row.reason}**" if row.reason else "yes"]
        for row in part.rows
    ]
    return table(["engine", "what", "settings", "finished"], rows)


def number(value: float | None, digits: int) -> str:
    """Return `value` with `digits` decimals, or a dash."""
    return _DASH if value is None else f"{value:.{digits}f}"
