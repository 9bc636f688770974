"""Small pictures inside tables and rungs: intervals, clips, bars."""

from collections.abc import Sequence

from whisperopt.report.fates import Fate
from whisperopt.report.markup import Html, tag
from whisperopt.report.numbers import interval, points
from whisperopt.report.scales import Scale

ROW_WIDTH = 300.0
_ROW_HEIGHT = 34.0
_STRIP_HEIGHT = 44.0
_MOST_EDITS = 4


def marker(x: float, y: float, fate: Fate, *, hollow: bool = False) -> Html:
    """Return the mark of one variant; each fate has a shape, `hollow` says not measured."""
    classes = f"point {fate.key}" + (" hollow" if hollow else "")
    if fate is Fate.REJECTED:
        cross = f"M{x - 5:.1f} {y - 5:.1f}l10 10M{x + 5:.1f} {y - 5:.1f}l-10 10"
        return tag("path", d=cross, class_=f"{classes} cross")
    if fate is Fate.WAITS:
        diamond = f"M{x:.1f} {y - 6.5:.1f}l6.5 6.5l-6.5 6.5l-6.5 -6.5z"
        return tag("path", d=diamond, class_=classes)
    dot = tag("circle", cx=x, cy=y, r=5.0, class_=classes)
    if fate is not Fate.SELECTED:
        return dot
    return tag("g", tag("circle", cx=x, cy=y, r=9.0, class_=f"ring {fate.key}"), dot)


def interval_row(
    scale: Scale,
    change: float,
    bounds: tuple[float, float] | None,
    *,
    gate: float | None,
    fate: Fate,
    hollow: bool,
) -> Html:
    """Draw one change with its interval, the zero line and the gate."""
    middle = _ROW_HEIGHT / 2
    lines = [_upright(scale.place(0.0), "zero")]
    if gate is not None:
        lines.append(_upright(scale.place(gate), "gate"))
    if bounds is not None:
        low, high = (scale.place(bound) for bound in bounds)
        lines.append(tag("path", d=f"M{low:.1f} {middle}H{high:.1f}", class_=f"reach {fate.key}"))
    if scale.holds(change):
        lines.append(marker(scale.place(change), middle, fate, hollow=hollow))
    else:
        lines.append(_beyond(scale.place(change), middle, fate, left=change < scale.low))
    said = f"Change {points(change)}, 95 % interval {interval(bounds)}"
    return tag(
        "svg",
        *lines,
        viewBox=f"0 0 {ROW_WIDTH:g} {_ROW_HEIGHT:g}",
        width=ROW_WIDTH,
        height=_ROW_HEIGHT,
        class_="row",
        role="img",
        aria_label=said,
    )


def strip(deltas: Sequence[int]) -> Html:
    """Draw a bar for each clip: upwards for more word errors than the core model, down for fewer."""
    step, middle = 8.0, _STRIP_HEIGHT / 2
    bars = []
    for place, delta in enumerate(deltas):
        height = min(abs(delta), _MOST_EDITS) * (middle - 2) / _MOST_EDITS or 1.5
        top = middle - height if delta >= 0 else middle
        kind = "worse" if delta > 0 else "better" if delta < 0 else "even"
        bars.append(tag("rect", x=place * step + 1, y=top, width=6, height=height, class_=kind))
    width = step * len(deltas)
    worse, better = sum(d > 0 for d in deltas), sum(d < 0 for d in deltas)
    return tag(
        "svg",
        *bars,
        viewBox=f"0 0 {width:g} {_STRIP_HEIGHT:g}",
        width=width,
        height=_STRIP_HEIGHT,
        preserveAspectRatio="none",
        class_="strip",
        role="img",
        aria_label=f"{worse} clips worse, {better} better, {len(deltas)} in all",
    )


def bar(share: float) -> Html:
    """Draw `share` of one as a bar; the number stands beside it."""
    full = tag("rect", width=64, height=6, rx=3, class_="trough")
    part = tag("rect", width=max(2.0, 64 * min(share, 1.0)), height=6, rx=3, class_="fill")
    return tag("svg", full, part, viewBox="0 0 64 6", width=64, height=6, aria_hidden="true")


def _upright(x: float, kind: str) -> Html:
    return tag("path", d=f"M{x:.1f} 0V{_ROW_HEIGHT:g}", class_=kind)


def _beyond(x: float, y: float, fate: Fate, *, left: bool) -> Html:
    side = -1 if left else 1
    arrow = f"M{x - 8 * side:.1f} {y - 6:.1f}l{9 * side} 6l{-9 * side} 6"
    return tag("path", d=arrow, class_=f"point {fate.key} cross")
