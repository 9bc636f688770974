"""The chart of errors against time: its axes, and names that cover nothing."""

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from whisperopt.report.formats import points
from whisperopt.report.view import CandidateView

_TOGETHER = 5.0
"""Charts share an axis of time where all their times are within this factor."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


class Scale(msgspec.Struct, frozen=True):
    """Maps `low` … `high` to the places `start` … `end`; what lies beyond is put at the edge."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return the place of `value`."""
        low, high, inside = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, inside = math.log(low), math.log(high), math.log(inside)
        return self.start + (self.end - self.start) * (inside - low) / (high - low)

    def holds(self, value: float) -> bool:
        """Say whether `value` is on the scale and not beyond it."""
        return self.low <= value <= self.high

    def ticks(self, most: int) -> list[float]:
        """Return at most about `most` round values on the scale."""
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            every = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
            inside = [value for value in every if self.holds(value)]
            return inside[:: max(1, math.ceil(len(inside) / most))]
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
        steps = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [round(n * step, 10) for n in steps]


def time_scale(values: Sequence[float], start: float, end: float) -> Scale:
    """Return an axis for `values` above 0; logarithmic where they span more than a decade."""
    low, high = min(values), max(values)
    if high > 10 * low:
        return Scale(low / 1.3, high * 1.3, start, end, logarithmic=True)
    margin = max(0.15 * (high - low), 0.06 * high, 1e-3)
    return Scale(max(0.0, low - margin), high + margin, start, end)


def change_scale(shown: Sequence[CandidateView], start: float = 10.0, end: float = 290.0) -> Scale:
    """Return the axis for the changes of `shown`, on which a ruined variant squashes no other."""
    fine = [value for own in shown if own.fate.key != "rejected" for value in own.changes]
    others = [value for own in shown for value in own.changes[:1]]
    return _change_scale(fine or others, others, shown, start, end)


def language_scale(shown: Sequence[CandidateView]) -> Scale:
    """Return the axis for the changes of `shown` in all of their languages."""
    languages = [errors for own in shown for errors in own.metrics.languages]
    changes = [v for errors in languages for v in (errors.delta, *errors.interval)]
    return _change_scale(filter(math.isfinite, changes), (), shown, 10.0, 290.0)


def _change_scale(
    fine: Iterable[float],
    others: Iterable[float],
    shown: Iterable[CandidateView],
    start: float,
    end: float,
) -> Scale:
    """Return an axis with 0, every gate, what is `fine`, and `others` where they are near."""
    within = [*fine, *(own.gate for own in shown if own.gate is not None), 0.0]
    most = max(0.5, 2.0 * max(map(abs, within)))
    values = [*within, *others]
    low, high = max(min(values), -most), min(max(values), most)
    margin = max(0.12 * (high - low), 0.05)
    return Scale(low - margin, high + margin, start, end)


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """The picture of one target's measured variants."""

    width: float
    height: float
    x: Scale
    y: Scale
    shown: Sequence[CandidateView]

    @property
    def gates(self) -> list[float]:
        """The bounds of its variants, the highest first."""
        return sorted({own.gate for own in self.shown if own.gate is not None}, reverse=True)

    @property
    def front(self) -> list[CandidateView]:
        """The Pareto front, the fastest first."""
        best = (own for own in self.shown if own.report.pareto)
        return sorted(best, key=lambda own: (own.times[0], own.changes[0]))

    @property
    def labels(self) -> Iterator[tuple[float, float, str]]:
        """Names with their places, the most important first, that cover no other and no point.

        They also keep off the zero line and the words at the end of the front.
        """
        ordered = sorted(self.shown, key=lambda c: (not c.report.pareto, c.fate.key != "selected"))
        places = [(self.x.place(own.times[0]), self.y.place(own.changes[0])) for own in ordered]
        taken = [(x - 9, y - 9, x + 9, y + 9) for x, y in places]
        zero, ends = self.y.place(0.0), [self.y.place(own.changes[0]) for own in self.front[-1:]]
        taken.append((self.x.start, zero - 1, self.x.end, zero + 1))
        taken += [(self.x.end - 90, end, self.x.end, end + 20) for end in ends]
        for own, (x, y) in zip(ordered, places, strict=True):
            most = 30 if self.width > 500 else 20
            name = own.short if len(own.short) <= most else f"{own.short[: most - 1]}…"
            beyond = "" if self.y.holds(own.changes[0]) else f" {points(own.changes[0])}"
            text = f"{own.fate.mark} {name}{beyond}"
            wide = 7.8 * len(text) + 4
            lefts = (x + 4, x - 4 - wide, x - wide / 2)
            corners = [(left, top) for top in (y - 28, y + 11) for left in lefts]
            for left, top in [*corners, (x + 13, y - 9), (x - 13 - wide, y - 9)]:
                box = (left, top, left + wide, top + 17)
                if self._holds(box) and not any(_meet(box, other) for other in taken):
                    taken.append(box)
                    yield left, top + 13, text
                    break

    def _holds(self, box: Box) -> bool:
        left, top, right, bottom = box
        across = self.x.start <= left and right <= self.x.end
        return across and self.y.end - 4 <= top and bottom <= self.y.start


def _meet(box: Box, other: Box) -> bool:
    across = box[0] <= other[2] and other[0] <= box[2]
    return across and box[1] <= other[3] and other[1] <= box[3]


def chart(own: Sequence[CandidateView], among: Sequence[CandidateView], width: float) -> Chart:
    """Return the picture of `own`, not empty, with the axes of all `among` which they are.

    Axes of time are shared only with charts whose times are alike.
    """
    least, largest = min(c.times[0] for c in own), max(c.times[0] for c in own)
    near = [c for c in among if largest / _TOGETHER <= c.times[0] <= least * _TOGETHER]
    height = 400.0 if width > 700 else 340.0
    return Chart(
        width=width,
        height=height,
        x=time_scale([time for c in (*own, *near) for time in c.times], 52.0, width - 12),
        y=change_scale(among, height - 44, 46.0),
        shown=own,
    )
