"""Word errors against time: every measured variant, the Pareto front and the gates."""

from collections.abc import Sequence

from whisperopt.report.charts import marker
from whisperopt.report.frame import Frame, Point, frame
from whisperopt.report.labels import labels
from whisperopt.report.markup import Html, tag
from whisperopt.report.numbers import interval, milliseconds, number, points, rounds

FRONT = "Pareto front"


def scatter(
    measured: Sequence[Point],
    gates: Sequence[float],
    core_wer: float | None,
    *,
    among: Sequence[Point] = (),
    width: float,
) -> Html:
    """Draw `measured`, not empty, with their Pareto front.

    `among` are the points of all charts beside this one, so that their axes are the same.
    """
    own = frame(measured, among or measured, gates, width)
    best = [point for point in measured if point.front]
    said = f"{len(measured)} measured variants; on the Pareto front: "
    return tag(
        "svg",
        _gates(own, gates),
        _axes(own, core_wer),
        _front(own, best, gates),
        [_whiskers(own, point) for point in measured],
        [_point(own, point) for point in measured],
        labels(own, measured, gates),
        viewBox=f"0 0 {own.width:g} {own.height:g}",
        class_="scatter",
        role="img",
        aria_label=said + (", ".join(sorted(p.name for p in best)) or "none"),
    )


def _axes(frame: Frame, core_wer: float | None) -> list[Html]:
    x, y, plot = frame.x, frame.y, frame.plot
    own = f" ({number(core_wer)} %)" if core_wer is not None else ""
    title = f"WER above the core model's{own}, points"
    parts = [
        tag("text", title, x=4, y=18, class_="axis"),
        tag(
            "text",
            "median time for a clip, ms",
            x=plot.right,
            y=frame.height - 6,
            class_="axis end",
        ),
    ]
    for tick in y.ticks(6):
        place = y.place(tick)
        kind = "grid" if tick else "zero"
        parts.append(tag("path", d=f"M{plot.left} {place:.1f}H{plot.right}", class_=kind))
        label = number(tick, "+.4g") if tick else "0"
        parts.append(tag("text", label, x=plot.left - 8, y=place + 4, class_="tick end"))
    for tick in x.ticks(7 if frame.width > 700 else 5 if frame.roomy else 4):
        place = x.place(tick)
        parts.append(tag("path", d=f"M{place:.1f} {plot.bottom}V{plot.bottom + 5}", class_="grid"))
        label = number(tick, ",.0f" if tick >= 1000 else ".4g")
        side = "end" if place > frame.width - 36 else "middle"
        at = place if side == "middle" else frame.width - 6
        parts.append(tag("text", label, x=at, y=plot.bottom + 19, class_=f"tick {side}"))
    return parts


def _gates(frame: Frame, gates: Sequence[float]) -> list[Html]:
    """Draw a line for each gate; only above the highest one nothing at all is selected."""
    plot, parts = frame.plot, list[Html]()
    for gate in sorted(set(gates), reverse=True):
        place = frame.y.place(gate)
        label = f"gate {points(gate)}: above it nothing is selected"
        if not parts:
            width, height = plot.right - plot.left, max(0.0, place - plot.top)
            area = {"x": plot.left, "y": plot.top, "width": width, "height": height}
            parts.append(tag("rect", **area, class_="refused"))
        else:
            label = f"gate {points(gate)} of finer numbers"
        parts.append(tag("path", d=f"M{plot.left} {place:.1f}H{plot.right}", class_="gate"))
        parts.append(tag("text", label, x=plot.left + 6, y=place - 6, class_="gate-label"))
    return parts


def _front(frame: Frame, best: Sequence[Point], gates: Sequence[float]) -> list[Html]:
    """Draw the stairs between the points of the front: nothing lies below and left of them."""
    steps: list[str] = []
    top, lowest = frame.y.place(max(gates)) if gates else frame.plot.top, 0.0
    for point in sorted(best, key=lambda p: (p.latency, p.change)):
        x, y = frame.x.place(point.latency), frame.y.place(point.change)
        steps.append(f"H{x:.1f}V{y:.1f}" if steps else f"M{x:.1f} {top:.1f}V{y:.1f}")
        lowest = y
    if not steps:
        return []
    end = frame.plot.right
    label = tag("text", FRONT, x=end, y=lowest + 16, class_="front-label end")
    return [tag("path", d="".join([*steps, f"H{end:.1f}"]), class_="front"), label]


def _whiskers(frame: Frame, point: Point) -> list[Html]:
    """Draw the interval of the change upright, and the range of the rounds across."""
    if not frame.y.holds(point.change):
        return []
    x, y = frame.place(point)
    paths = []
    if point.bounds is not None:
        low, high = (frame.y.place(bound) for bound in point.bounds)
        caps = "".join(f"M{x - 4:.1f} {end:.1f}h8" for end in (low, high))
        paths.append(f"M{x:.1f} {low:.1f}V{high:.1f}{caps}")
    if point.reach is not None:
        left, right = (frame.x.place(time) for time in point.reach)
        caps = "".join(f"M{end:.1f} {y - 4:.1f}v8" for end in (left, right))
        paths.append(f"M{left:.1f} {y:.1f}H{right:.1f}{caps}")
    return [tag("path", d=path, class_=f"reach {point.fate.key}") for path in paths]


def _point(frame: Frame, point: Point) -> Html:
    x, y = frame.place(point)
    reach = f" (rounds: {rounds(point.reach)})" if point.reach else ""
    said = (
        f"{point.name} ({point.fate.word}): {milliseconds(point.latency)}{reach}, WER"
        f" {points(point.change)} points, 95 % interval {interval(point.bounds)}"
    )
    parts = [tag("title", said), marker(x, y, point.fate)]
    if not frame.y.holds(point.change):
        parts.append(tag("path", d=f"M{x - 6:.1f} {y - 10:.1f}l6 -6l6 6", class_="beyond"))
    return tag("g", *parts)
