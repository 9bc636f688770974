"""Where things are in the chart of errors against time: its points, its axes, what covers what."""

from collections.abc import Iterable, Sequence

import msgspec

from whisperopt.report import scales
from whisperopt.report.fates import Fate
from whisperopt.report.scales import Scale

_TOGETHER = 5.0
"""Charts share an axis of time where all their times are within this factor."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One measured variant: median milliseconds for a clip, and the change of its WER."""

    name: str
    fate: Fate
    front: bool
    """Whether it is on the Pareto front of its target."""
    latency: float
    reach: tuple[float, float] | None
    """The fastest and the slowest round's median."""
    change: float
    bounds: tuple[float, float] | None
    """The interval of the change."""


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

    @property
    def roomy(self) -> bool:
        """Whether there is room for long names."""
        return self.width > 500

    def place(self, point: Point) -> tuple[float, float]:
        """Return where `point` is."""
        return self.x.place(point.latency), self.y.place(point.change)


def most_shown(changes: Iterable[float], gates: Iterable[float]) -> float:
    """Return the largest change that an axis shows: a ruined variant must not squash the rest."""
    return 2.0 * max([0.25, *gates, *changes])


def frame(
    own: Sequence[Point], among: Sequence[Point], gates: Sequence[float], width: float
) -> Frame:
    """Return the frame for `own` points, with the axes of all points `among` which they are."""
    fine = [p for p in among if p.fate is not Fate.REJECTED] or [*own]
    heights = [value for p in fine for value in (p.change, *(p.bounds or ()))]
    most = most_shown([abs(value) for value in heights], gates)
    shown = [*heights, *(p.change for p in among)]
    least, largest = min(p.latency for p in own), max(p.latency for p in own)
    near = [p for p in among if largest / _TOGETHER <= p.latency <= least * _TOGETHER]
    height = 400.0 if width > 700 else 340.0
    return Frame(
        width=width,
        height=height,
        x=scales.times(_times([*own, *near]), 52.0, width - 12),
        y=scales.changes(shown, [*gates], height - 44, 46.0, most=most),
    )


def _times(points: Iterable[Point]) -> list[float]:
    return [time for p in points for time in (p.latency, *(t for t in p.reach or () if t > 0))]
