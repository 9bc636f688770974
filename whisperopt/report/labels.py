"""Names in the chart of errors against time, each where it covers nothing."""

from collections.abc import Iterable, Sequence

from whisperopt.report.fates import Fate
from whisperopt.report.frame import Box, Frame, Point
from whisperopt.report.markup import Html, tag
from whisperopt.report.numbers import points


def labels(frame: Frame, measured: Sequence[Point], gates: Sequence[float]) -> list[Html]:
    """Name the points, the most important first, as long as no name covers another or a point.

    Names also keep off lines; in a narrow picture only the Pareto front's may cover one.
    """
    ordered = sorted(measured, key=lambda p: (not p.front, p.fate is not Fate.SELECTED))
    taken = [_around(frame, point) for point in ordered]
    lines = _lines(frame, ordered, gates)
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
        may_cover = point.front or frame.roomy
        if chosen := clear or (places if may_cover else []):
            taken.append(chosen[0])
            at = chosen[0]
            parts.append(tag("text", text, x=at.left, y=at.bottom - 4, class_="label"))
    return parts


def _name(frame: Frame, point: Point) -> str:
    longest = 30 if frame.roomy else 20
    name = point.name if len(point.name) <= longest else point.name[: longest - 1] + "…"
    beyond = "" if frame.y.holds(point.change) else f" {points(point.change)}"
    return f"{point.fate.mark} {name}{beyond}"


def _covers(place: Box, boxes: Iterable[Box]) -> bool:
    return any(place.meets(box) for box in boxes)


def _lines(frame: Frame, drawn: Sequence[Point], gates: Sequence[float]) -> list[Box]:
    """Return where lines and the words at their ends are."""
    plot, zero = frame.plot, frame.y.place(0.0)
    boxes = [Box(plot.left, zero - 1, plot.right, zero + 1)]
    for point in drawn:
        x, y = frame.place(point)
        low, high = (frame.y.place(b) for b in point.bounds or (point.change, point.change))
        boxes.append(Box(x - 2, high, x + 2, low))
        left, right = (frame.x.place(t) for t in point.reach or (point.latency, point.latency))
        boxes.append(Box(left, y - 2, right, y + 2))
    for gate in gates:
        place = frame.y.place(gate)
        boxes.append(Box(plot.left, place - 20, plot.right, place + 2))
    ends = [frame.y.place(point.change) for point in drawn if point.front]
    return [*boxes, *(Box(plot.right - 90, end, plot.right, end + 20) for end in ends)]


def _around(frame: Frame, point: Point) -> Box:
    x, y = frame.place(point)
    return Box(x - 9, y - 9, x + 9, y + 9)


def _places(frame: Frame, point: Point, width: float) -> list[Box]:
    x, y = frame.place(point)
    corners = (
        *((x + 13, y - 9), (x - 13 - width, y - 9)),
        *((x + 4, y - 28), (x + 4, y + 10), (x - width - 4, y - 28), (x - width - 4, y + 10)),
        *((x - width / 2, y - 30), (x - width / 2, y + 13)),
    )
    return [Box(left, top, left + width, top + 17) for left, top in corners]
