"""A target's ladder: every candidate with its fate, its proofs and its clips."""

from collections.abc import Mapping, Sequence

from whisperopt.release.report import CandidateReport, TargetReport
from whisperopt.report.aims import aim, decided
from whisperopt.report.charts import bar
from whisperopt.report.clips import clips
from whisperopt.report.entries import Entry
from whisperopt.report.fates import Fate
from whisperopt.report.heard import languages, many
from whisperopt.report.marks import badge, chip, front, result, tier
from whisperopt.report.markup import Content, Html, named, tag
from whisperopt.report.numbers import (
    counted,
    interval,
    megabytes,
    milliseconds,
    number,
    points,
    rounds,
    sentence,
    shows,
    speed,
)
from whisperopt.report.proven import proven


def ladder(target: TargetReport, entries: Sequence[Entry], place: int) -> Html:
    """Return the section of one target."""
    state = "✗ nothing could be selected" + (", though it is required" if target.required else "")
    nothing = tag("p", tag("strong", state, class_="nothing"), class_="lead")
    largest = max((e.candidate.metrics.size_bytes or 0 for e in entries), default=0)
    spared = [entry for entry in entries if entry.fate is Fate.NOT_NEEDED]
    alone = spared if len(spared) < 2 else []
    tried = [entry for entry in entries if entry not in spared or entry in alone]
    rungs = [_rung(entry, largest) for entry in tried]
    return tag(
        "section",
        tag("h3", named(target.name), id=f"heading-{place}"),
        None if any(entry.fate is Fate.SELECTED for entry in entries) else nothing,
        _facts(target, len(entries)),
        tag("ol", rungs, None if alone or not spared else _spared(spared), class_="ladder"),
        id=f"target-{place}",
        class_="target",
        aria_labelledby=f"heading-{place}",
    )


def _facts(target: TargetReport, candidates: int) -> Html:
    facts = [
        ("best is", aim(target.objective)),
        ("decided on", decided(target)),
        ("runtime here", target.runtime),
        ("tried", f"{counted(candidates, 'candidate')}, best first, then as on the ladder"),
    ]
    pairs = [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts]
    return tag("dl", pairs, class_="basis")


def _rung(entry: Entry, largest: int) -> Html:
    candidate, own = entry.candidate, entry.fate
    chips = [chip(rehearsed) for rehearsed in candidate.rehearsals]
    found = candidate.metrics.languages
    return tag(
        "li",
        tag("span", own.mark, class_="stop", aria_hidden="true"),
        tag(
            "div",
            tag("h4", named(candidate.name)),
            badge(own),
            tier(candidate.tier),
            front() if candidate.pareto else None,
            tag("span", f"rung {candidate.ladder_rank + 1}", class_="rank"),
            class_="title",
        ),
        tag("p", candidate.reason, class_="reason"),
        _figures(entry, largest),
        [tag("p", note, class_="aside") for note in _readings(entry)],
        tag("ul", chips, class_="chips") if chips else None,
        languages(found, entry.gate, own) if many(found) else None,
        proven(candidate, opened=own is Fate.SELECTED),
        _proof(entry),
        clips(entry.comparison) if entry.comparison else None,
        class_=f"rung {own.key}",
    )


def _spared(entries: Sequence[Entry]) -> Html:
    """Return one rung for all candidates that were not needed."""
    own = Fate.NOT_NEEDED
    items = [
        tag("li", named(one.candidate.name), ": ", tag("span", _spare(one))) for one in entries
    ]
    return tag(
        "li",
        tag("span", own.mark, class_="stop", aria_hidden="true"),
        tag("div", tag("h4", f"{len(entries)} stand-ins"), badge(own), class_="title"),
        tag("ul", items, class_="spared"),
        class_=f"rung {own.key}",
    )


def _spare(entry: Entry) -> str:
    return entry.candidate.reason.removeprefix(f"{entry.fate.word}: ")


def _readings(entry: Entry) -> list[str]:
    """Say what the interval shows, and what the samples cannot tell."""
    shown = shows(entry.bounds, entry.gate)
    return [*([shown] if shown else []), *map(sentence, entry.candidate.notes)]


def _figures(entry: Entry, largest: int) -> Html | None:
    metrics = entry.candidate.metrics
    shown: list[tuple[str, Content]] = []
    if entry.change is not None:
        shown.append(("change of WER", _figure(points(entry.change), interval(entry.bounds))))
        shown.append(("WER", _figure(number(metrics.wer, unit=" %"))))
    if entry.latency is not None:
        shown.append(("time for a clip", _figure(milliseconds(entry.latency), _race(entry))))
        shown.append(("speed", _figure(speed(entry.rtfx, "× real time"))))
    if entry.throughput is not None:
        reach = rounds(entry.throughput_bounds) if entry.throughput_bounds else ""
        shown.append(("many at once", _figure(speed(entry.throughput), reach)))
    if metrics.peak_rss_mb and entry.measured:
        shown.append(("memory", _figure(number(metrics.peak_rss_mb, ",.0f", " MB"))))
    if metrics.size_bytes:
        size = [tag("b", megabytes(metrics.size_bytes)), bar(metrics.size_bytes / largest)]
        shown.append(("size", size))
    if not shown:
        return None
    pairs = [tag("div", tag("dt", name), tag("dd", value)) for name, value in shown]
    return tag("dl", pairs, class_="figures")


def _race(entry: Entry) -> str:
    """Say how the rounds went; a time outside the race was taken in another hour."""
    if entry.latency_bounds is None:
        return "outside the race"
    count = f" in {counted(entry.rounds, 'round')}" if entry.rounds else ""
    return f"{rounds(entry.latency_bounds)}{count}"


def _figure(value: str, reach: str = "") -> Content:
    return [tag("b", value), tag("small", f" {reach}") if reach else None]


def _proof(entry: Entry) -> Html | None:
    candidate = entry.candidate
    placement = entry.evidence.placement if entry.evidence else {}
    parts: list[Content] = []
    if candidate.how:
        parts.append(tag("p", tag("b", "Rests on: "), candidate.how))
    if placement:
        parts.append(tag("p", tag("b", "Nodes ran on: "), _placement(placement)))
    if candidate.conditions:
        items = [tag("li", condition) for condition in candidate.conditions]
        parts += [tag("p", tag("b", "Whoever runs it must keep to:")), tag("ul", items)]
    if candidate.rehearsals:
        parts.append(_rehearsals(candidate))
    if not parts:
        return None
    names = ["proof"]
    names += ["placement"] if placement else []
    names += [counted(len(candidate.conditions), "condition")] if candidate.conditions else []
    names += [counted(len(candidate.rehearsals), "rehearsal")] if candidate.rehearsals else []
    return tag("details", tag("summary", ", ".join(names).capitalize()), parts)


def _placement(placement: Mapping[str, int]) -> list[Content]:
    nodes = sum(placement.values()) or 1
    parts: list[Content] = []
    for where, count in sorted(placement.items(), key=lambda item: -item[1]):
        share = f" ({count} of {nodes}, {100 * count / nodes:.0f} %)"
        parts += ["; " if parts else None, tag("bdi", where), share]
    return parts


def _rehearsals(candidate: CandidateReport) -> Html:
    items = []
    for one in candidate.rehearsals:
        facts = "; ".join(f"{key}: {value}" for key, value in one.facts.items())
        runtime = f"{one.runtime} {one.version or ''}".rstrip()
        said = (tag("b", tag("bdi", one.name), f" {result(one)}"), f" ({runtime}): {one.reason}")
        items.append(tag("li", said, tag("p", facts, class_="facts") if facts else None))
    return tag("div", tag("p", tag("b", "Rehearsals:")), tag("ul", items))
