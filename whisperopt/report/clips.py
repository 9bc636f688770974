"""Clip by clip: what a variant heard otherwise than the core model."""

from whisperopt.report.charts import strip
from whisperopt.report.comparison import ClipDelta, Comparison, Marked
from whisperopt.report.markup import Content, Html, named, tag
from whisperopt.report.numbers import NONE

MOST_CLIPS = 12
"""So many of a variant's changed clips are shown with their words."""


def clips(comparison: Comparison) -> Html:
    """Tell how many clips are worse and better, and show the words of those that changed."""
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
    between = " " if delta.unit == "words" else ""
    texts = [
        ("reference", delta.reference or NONE),
        ("core model", _marked(delta.core, between)),
        ("this variant", _marked(delta.variant, between)),
    ]
    lines = [tag("div", tag("dt", name), tag("dd", text)) for name, text in texts]
    head = tag("p", named(delta.clip), " ", tag("span", f"{mark} {said}", class_=kind))
    return tag("div", head, tag("dl", lines), class_="clip")


def _marked(pieces: Marked, between: str) -> Content:
    if not pieces:
        return tag("em", "nothing")
    shown: list[Content] = []
    for kind, text in pieces:
        element = {"same": "span", "missing": "del", "extra": "ins"}[kind]
        shown += [between if shown else None, tag(element, text)]
    return shown
