"""A target's ladder: every candidate with its fate, its proofs and its clips."""

from collections.abc import Mapping, Sequence

from whisperopt.release.report import CandidateReport, TargetReport
from whisperopt.report.charts import bar, strip
from whisperopt.report.comparison import ClipDelta, Comparison, Marked
from whisperopt.report.entries import Entry
from whisperopt.report.fates import Fate
from whisperopt.report.marks import badge, chip, result, tier
from whisperopt.report.markup import Content, Html, named, tag
from whisperopt.report.numbers import NONE, allows, counted, interval, megabytes, number, points

MOST_CLIPS = 12
"""So many of a variant's changed clips are shown with their words."""


def ladder(target: TargetReport, entries: Sequence[Entry], place: int) -> Html:
    """Return the section of one target."""
    state = "✗ nothing could be selected" + (", though it is required" if target.required else "")
    nothing = tag("p", tag("strong", state, class_="nothing"), class_="lead")
    largest = max((e.candidate.metrics.size_bytes or 0 for e in entries), default=0)
    tried = f"{len(entries)} candidates, best first; those that were refused as on the ladder."
    return tag(
        "section",
        tag("h3", named(target.name), id=f"heading-{place}"),
        None if any(entry.fate is Fate.SELECTED for entry in entries) else nothing,
        tag("p", tag("b", "Runtime here: "), target.runtime, class_="aside"),
        tag("p", tried, class_="aside") if len(entries) > 1 else None,
        tag("ol", [_rung(entry, largest) for entry in entries], class_="ladder"),
        id=f"target-{place}",
        class_="target",
        aria_labelledby=f"heading-{place}",
    )


def _rung(entry: Entry, largest: int) -> Html:
    candidate, own = entry.candidate, entry.fate
    chips = [chip(rehearsed) for rehearsed in candidate.rehearsals]
    reading = allows(entry.bounds, entry.gate, entry.clips)
    return tag(
        "li",
        tag("span", own.mark, class_="stop", aria_hidden="true"),
        tag(
            "div",
            tag("h4", named(candidate.name)),
            badge(own),
            tier(candidate.tier),
            class_="title",
        ),
        tag("p", candidate.reason, class_="reason"),
        _figures(entry, largest),
        tag("p", reading, class_="aside") if reading else None,
        tag("ul", chips, class_="chips") if chips else None,
        _proof(entry),
        _clips(entry.comparison) if entry.comparison else None,
        class_=f"rung {own.key}",
    )


def _figures(entry: Entry, largest: int) -> Html | None:
    metrics = entry.candidate.metrics
    shown: list[tuple[str, Content]] = []
    if entry.change is not None:
        change = (tag("b", points(entry.change)), f" ({interval(entry.bounds)})")
        shown.append(("change of WER", change))
        shown.append(("WER", tag("b", number(metrics.wer, unit=" %"))))
    if entry.latency is not None:
        shown.append(("time for a clip", tag("b", number(entry.latency, ",.0f", " ms"))))
        shown.append(("speed", tag("b", number(metrics.rtfx, ".1f", "× real time"))))
    if metrics.size_bytes:
        size = [tag("b", megabytes(metrics.size_bytes)), bar(metrics.size_bytes / largest)]
        shown.append(("size", size))
    if not shown:
        return None
    pairs = [tag("div", tag("dt", name), tag("dd", value)) for name, value in shown]
    return tag("dl", pairs, class_="figures")


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


def _clips(comparison: Comparison) -> Html:
    total, changed = len(comparison.clips), comparison.changed
    if not changed:
        said = f"Clip by clip: the core model's very words in all {total}."
        return tag("p", said, class_="aside")
    even = total - comparison.worse - comparison.better
    counts = f"{comparison.worse} worse, {comparison.better} better, {even} with as many errors"
    against = "transcripts" if comparison.transcribed else "the core model's own words"
    basis = f"{total} clips, errors counted against {against}; {len(changed)} with other words."
    shown = [_clip(delta) for delta in changed[:MOST_CLIPS]]
    left = len(changed) - len(shown)
    return tag(
        "details",
        tag("summary", f"Clip by clip: {counts}"),
        tag("p", basis, class_="aside"),
        tag("div", strip([clip.delta for clip in comparison.clips]), class_="strips"),
        tag("p", "One bar for each clip: up is worse, down is better.", class_="aside"),
        shown,
        tag("p", f"{left} more clips have other words.", class_="aside") if left > 0 else None,
    )


def _clip(delta: ClipDelta) -> Html:
    said = "as many errors"
    if delta.delta:
        said = f"{abs(delta.delta)} {'more' if delta.delta > 0 else 'fewer'}"
        said += " errors" if abs(delta.delta) > 1 else " error"
    mark = "▲" if delta.delta > 0 else "▼" if delta.delta < 0 else "="
    kind = "worse" if delta.delta > 0 else "better" if delta.delta < 0 else "even"
    texts = [("reference", delta.reference or NONE), ("core model", _marked(delta.core))]
    texts.append(("this variant", _marked(delta.variant)))
    lines = [tag("div", tag("dt", name), tag("dd", text)) for name, text in texts]
    head = tag("p", named(delta.clip), " ", tag("span", f"{mark} {said}", class_=kind))
    return tag("div", head, tag("dl", lines), class_="clip")


def _marked(pieces: Marked) -> Content:
    if not pieces:
        return tag("em", "nothing")
    shown: list[Content] = []
    for kind, text in pieces:
        element = {"same": "span", "missing": "del", "extra": "ins"}[kind]
        shown += [" " if shown else None, tag(element, text)]
    return shown
