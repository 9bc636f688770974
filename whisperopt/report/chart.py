"""The chart of errors against time: its axes, and names that cover nothing."""

import itertools
import math
from collections.abc import Iterator, Sequence

import msgspec

from whisperopt.report.formats import finite, points
from whisperopt.report.view import CandidateView

_TOGETHER = 5.0
"""Charts share an axis of time where all their times are within this factor."""


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
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)))
            every = [m * 10.0**e for e in powers for m in (1, 2, 5)]
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


def change_scale(
    shown: Sequence[CandidateView],
    start: float = 10.0,
    end: float = 290.0,
    *,
    languages: bool = False,
) -> Scale:
    """Return an axis for changes, of each language or of all words, with 0 and every gate.

    It reaches to what was rejected, but no further than so that this squashes no other.
    """
    every = [(own, own.changes) for own in shown]
    if languages:
        told = [(own, errors) for own in shown for errors in own.metrics.languages]
        every = [(own, (errors.delta, *errors.interval)) for own, errors in told]
    every = [(own, changes) for own, changes in every if changes and finite(changes)]
    fine = [v for own, changes in every if own.fate.key != "rejected" for v in changes]
    fine = fine or [v for _, changes in every for v in changes]
    within = [*fine, *(own.gate for own in shown if own.gate is not None), 0.0]
    most = max(0.5, 2.0 * max(map(abs, within)))
    within += [min(max(changes[0], -most), most) for _, changes in every]
    low, high = min(within), max(within)
    margin = max(0.12 * (high - low), 0.05)
    return Scale(low - margin, high + margin, start, end)


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """The picture of one target's measured variants."""

    width: float
    height: float
    x: Scale
    y: Scale
    shown: Sequence[CandidateView]
    gates: Sequence[float]
    """The bounds of its variants, the highest first."""
    front: Sequence[CandidateView]
    """The Pareto front, the fastest first."""

    def labels(self) -> Iterator[tuple[float, float, str]]:
        """Yield names with their places, the most important first, that cover no other.

        Each stands beside its point, above or below; where there is no room its title tells it.
        """
        ordered = sorted(self.shown, key=lambda c: (not c.report.pareto, c.fate.key != "selected"))
        places = [(self.x.place(own.times[0]), self.y.place(own.changes[0])) for own in ordered]
        taken = [(x - 9, x + 9, y) for x, y in places]
        taken.append((self.x.start, self.x.end, self.y.place(0.0)))
        ends = [self.y.place(own.changes[0]) for own in self.front[-1:]]
        taken += [(self.x.end - 90, self.x.end, end + 12) for end in ends]
        most = 30 if self.width > 500 else 20
        for own, (x, y) in zip(ordered, places, strict=True):
            name = own.short if len(own.short) <= most else f"{own.short[: most - 1]}…"
            beyond = "" if self.y.holds(own.changes[0]) else f" {points(own.changes[0])}"
            text = f"{own.fate.mark} {name}{beyond}"
            wide = 7.8 * len(text) + 4
            free = (
                (left, middle)
                for middle, left in itertools.product((y - 20, y + 20), (x + 4, x - 4 - wide))
                if self.x.start <= left <= self.x.end - wide
                and self.y.end < middle < self.y.start - 8
                and not any(
                    left < end and start < left + wide and abs(middle - centre) < 17
                    for start, end, centre in taken
                )
            )
            if place := next(free, None):
                left, middle = place
                taken.append((left, left + wide, middle))
                yield left, middle + 5, text


def chart(own: Sequence[CandidateView], among: Sequence[CandidateView], width: float) -> Chart:
    """Return the picture of `own`, not empty, with the axes of all `among` which they are.

    Axes of time are shared only with charts whose times are alike.
    """
    least, largest = min(c.times[0] for c in own), max(c.times[0] for c in own)
    near = [c for c in among if largest / _TOGETHER <= c.times[0] <= least * _TOGETHER]
    height = 400.0 if width > 700 else 340.0
    front = (candidate for candidate in own if candidate.report.pareto)
    return Chart(
        width=width,
        height=height,
        x=time_scale([time for c in (*own, *near) for time in c.times], 52.0, width - 12),
        y=change_scale(among, height - 44, 46.0),
        shown=own,
        gates=sorted({c.gate for c in own if c.gate is not None}, reverse=True),
        front=sorted(front, key=lambda c: (c.times[0], c.changes[0])),
    )
