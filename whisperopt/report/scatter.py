"""Word errors against time: every measured variant, the Pareto front and the gates."""

from collections.abc import Iterable, Sequence

import msgspec

from whisperopt.report import scales
from whisperopt.report.charts import marker
from whisperopt.report.fates import Fate
from whisperopt.report.markup import Html, tag
from whisperopt.report.numbers import interval, number, points
from whisperopt.report.scales import Scale

FRONT = "Pareto front"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One measured variant: median milliseconds for a clip, and the change of its WER."""

    name: str
    fate: Fate
    latency: float
    change: float
    bounds: tuple[float, float] | None


class Box(msgspec.Struct, frozen=True):
    """A rectangle that nothing else should cover."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Say whether both share some place."""
        apart = self.right < other.left or other.right < self.left
        return not (apart or self.bottom < other.top or other.bottom < self.top)


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """The plot's place in the picture and its two axes."""

    width: float
    height: float
    x: Scale
    y: Scale

    @property
    def plot(self) -> Box:
        """Where points lie."""
        return Box(self.x.start, self.y.end, self.x.end, self.y.start)


def most_shown(changes: Iterable[float], gates: Iterable[float]) -> float:
    """Return the largest change that an axis shows: a ruined variant must not squash the rest."""
    return 2.0 * max([0.25, *gates, *changes])


def scatter(
    measured: Sequence[Point],
    best: set[str],
    gates: Sequence[float],
    core_wer: float | None,
    *,
    width: float,
) -> Html:
    """Draw `measured`, not empty, with the Pareto front of those named in `best`."""
    frame = _frame(measured, gates, width)
    ordered = sorted(measured, key=lambda p: (p.name not in best, p.fate is not Fate.SELECTED))
    said = f"{len(measured)} measured variants; on the Pareto front: {', '.join(sorted(best))}"
    return tag(
        "svg",
        _gates(frame, gates),
        _axes(frame, core_wer),
        _front(frame, [p for p in measured if p.name in best], gates),
        [_whisker(frame, point) for point in measured],
        [_point(frame, point) for point in ordered],
        _labels(frame, ordered, gates, best),
        viewBox=f"0 0 {frame.width:g} {frame.height:g}",
        class_="scatter",
        role="img",
        aria_label=said,
    )


def _frame(measured: Sequence[Point], gates: Sequence[float], width: float) -> Frame:
    height = 400.0 if width > 500 else 340.0
    reach = [b for p in measured if p.fate is not Fate.REJECTED for b in p.bounds or ()]
    fine = [p.change for p in measured if p.fate is not Fate.REJECTED]
    shown = [*reach, *(p.change for p in measured)]
    most = most_shown([abs(value) for value in (*fine, *reach)], gates)
    return Frame(
        width=width,
        height=height,
        x=scales.times([p.latency for p in measured], 52.0, width - 12),
        y=scales.changes(shown, [*gates], height - 44, 46.0, most=most),
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
    for tick in x.ticks(7 if frame.width > 500 else 4):
        place = x.place(tick)
        parts.append(tag("path", d=f"M{place:.1f} {plot.bottom}V{plot.bottom + 5}", class_="grid"))
        label = number(tick, ",.0f" if tick >= 1000 else ".4g")
        side = "end" if place > frame.width - 36 else "middle"
        at = place if side == "middle" else frame.width - 6
        parts.append(tag("text", label, x=at, y=plot.bottom + 19, class_=f"tick {side}"))
    return parts


def _gates(frame: Frame, gates: Sequence[float]) -> list[Html]:
    plot = frame.plot
    parts: list[Html] = []
    for gate in sorted(set(gates)):
        place = frame.y.place(gate)
        if not parts:
            parts.append(
                tag(
                    "rect",
                    x=plot.left,
                    y=plot.top,
                    width=plot.right - plot.left,
                    height=max(0.0, place - plot.top),
                    class_="refused",
                )
            )
        parts.append(tag("path", d=f"M{plot.left} {place:.1f}H{plot.right}", class_="gate"))
        label = f"gate {points(gate)}: above it nothing is selected"
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


def _whisker(frame: Frame, point: Point) -> Html | None:
    if point.bounds is None or not frame.y.holds(point.change):
        return None
    x = frame.x.place(point.latency)
    low, high = (frame.y.place(bound) for bound in point.bounds)
    caps = "".join(f"M{x - 4:.1f} {y:.1f}h8" for y in (low, high))
    drawn = f"M{x:.1f} {low:.1f}V{high:.1f}{caps}"
    return tag("path", d=drawn, class_=f"reach {point.fate.key}")


def _point(frame: Frame, point: Point) -> Html:
    x, y = frame.x.place(point.latency), frame.y.place(point.change)
    said = (
        f"{point.name} ({point.fate.word}): {number(point.latency, '.0f')} ms, WER"
        f" {points(point.change)} points, 95 % interval {interval(point.bounds)}"
    )
    parts = [tag("title", said), marker(x, y, point.fate)]
    if not frame.y.holds(point.change):
        parts.append(tag("path", d=f"M{x - 6:.1f} {y - 10:.1f}l6 -6l6 6", class_="beyond"))
    return tag("g", *parts)


def _labels(
    frame: Frame, ordered: Sequence[Point], gates: Sequence[float], best: set[str]
) -> list[Html]:
    """Name the points, the most important first, as long as no name covers another or a point.

    Names also keep off lines; in a narrow picture only the Pareto front's may cover one.
    """
    taken = [_around(frame, point) for point in ordered]
    lines = _lines(frame, ordered, gates, best)
    parts = []
    for point in ordered:
        text = _name(frame, point)
        places = [
            place
            for place in _places(frame, point, 7.8 * len(text) + 4)
            if frame.plot.left <= place.left and place.right <= frame.width
            if frame.plot.top - 4 <= place.top and place.bottom <= frame.plot.bottom
            if not _covers(place, (box for box in taken if box != _around(frame, point)))
        ]
        clear = [place for place in places if not _covers(place, lines)]
        may_cover = point.name in best or frame.width > 500
        if chosen := clear or (places if may_cover else []):
            taken.append(chosen[0])
            at = chosen[0]
            parts.append(tag("text", text, x=at.left, y=at.bottom - 4, class_="label"))
    return parts


def _name(frame: Frame, point: Point) -> str:
    longest = 30 if frame.width > 500 else 20
    name = point.name if len(point.name) <= longest else point.name[: longest - 1] + "…"
    beyond = "" if frame.y.holds(point.change) else f" {points(point.change)}"
    return f"{point.fate.mark} {name}{beyond}"


def _covers(place: Box, boxes: Iterable[Box]) -> bool:
    return any(place.meets(box) for box in boxes)


def _lines(
    frame: Frame, drawn: Sequence[Point], gates: Sequence[float], best: set[str]
) -> list[Box]:
    """Return where lines and the words at their ends are."""
    plot, zero = frame.plot, frame.y.place(0.0)
    boxes = [Box(plot.left, zero - 1, plot.right, zero + 1)]
    for point in drawn:
        x = frame.x.place(point.latency)
        low, high = (frame.y.place(b) for b in point.bounds or (point.change, point.change))
        boxes.append(Box(x - 2, high, x + 2, low))
    for gate in gates:
        place = frame.y.place(gate)
        boxes.append(Box(plot.left, place - 20, plot.right, place + 2))
    ends = [frame.y.place(point.change) for point in drawn if point.name in best]
    return [*boxes, *(Box(plot.right - 90, end, plot.right, end + 20) for end in ends)]


def _around(frame: Frame, point: Point) -> Box:
    x, y = frame.x.place(point.latency), frame.y.place(point.change)
    return Box(x - 9, y - 9, x + 9, y + 9)


def _places(frame: Frame, point: Point, width: float) -> list[Box]:
    x, y = frame.x.place(point.latency), frame.y.place(point.change)
    corners = (
        *((x + 13, y - 9), (x - 13 - width, y - 9)),
        *((x + 4, y - 28), (x + 4, y + 10), (x - width - 4, y - 28), (x - width - 4, y + 10)),
        *((x - width / 2, y - 30), (x - width / 2, y + 13)),
    )
    return [Box(left, top, left + width, top + 17) for left, top in corners]
