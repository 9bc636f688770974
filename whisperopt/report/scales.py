"""Axes: from values to places, and where the ticks go."""

import math

import msgspec


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
        step = _step((self.high - self.low) / most)
        count = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [round(n * step, 10) for n in count]


def times(values: list[float], start: float, end: float) -> Scale:
    """Return an axis for `values` above 0; logarithmic where they span more than a decade."""
    low, high = min(values), max(values)
    if high > 10 * low > 0:
        return Scale(low / 1.3, high * 1.3, start, end, logarithmic=True)
    margin = max(0.15 * (high - low), 0.06 * high, 1e-3)
    return Scale(max(0.0, low - margin), high + margin, start, end)


def changes(
    values: list[float], gates: list[float], start: float, end: float, *, most: float
) -> Scale:
    """Return an axis of changes that shows 0, every gate, and values up to `most`."""
    low = max(min([*values, 0.0]), -most)
    high = min(max([*values, *gates, 0.0]), most)
    margin = max(0.12 * (high - low), 0.05)
    return Scale(low - margin, high + margin, start, end)


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
