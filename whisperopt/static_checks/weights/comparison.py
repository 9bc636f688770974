"""Two versions of one weight: how far they are apart, and whether storage alone explains it."""

from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt.graph.canvas import contiguous
from whisperopt.runtime.arrays import Floats

Sums: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_IN_FLIGHT = 1 << 19
ROUNDING = 1 / 127
"""Largest error of whole numbers of 7 bits or more, as a share of their group's peak."""
_FOREIGN = 1 / 8
"""An error that no rounding makes, as a share of the group's peak."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stored weight may be from the checkpoint's."""

    scale: float
    """Largest |slope - 1| of a group, slope being the least-squares <a, b> / <b, b>."""
    error: float
    """Largest ||a - b|| / ||b|| of a group."""
    grain: float = 1e-12
    """How far off each number may be beyond that: the smallest numbers of a type are, and below
    the default nothing matters."""
    rounded: bool = False
    """Whether it is stored as whole numbers: then a group may also be off by their rounding."""


class Distance(msgspec.Struct, frozen=True, kw_only=True):
    """How far `found` is from `expected`, as sums over each group, [rows, groups in a row]."""

    along: Sums
    """<a - b, b>"""
    apart: Sums
    """||a - b||^2"""
    length: Sums
    """||b||^2"""
    peak_apart: Sums
    """max|a - b|"""
    peak: Sums
    """max|b|, of the whole tensor where it has one scale only"""
    count: int
    """How many numbers are in a group."""

    def figures(self, at: Any = ...) -> dict[str, float]:
        """Return relative error, slope, and largest difference by the peak, of the groups `at`."""
        length, peak = float(self.length[at].sum()) or 1.0, float(self.peak[at].max()) or 1.0
        return {
            "error": float(np.sqrt(self.apart[at].sum() / length)),
            "slope": 1 + float(self.along[at].sum()) / length,
            "peak": float(self.peak_apart[at].max()) / peak,
        }

    def wrong(self, bounds: Bounds) -> Mask:
        """Return which groups are further off than `bounds` allow."""
        length = np.sqrt(self.length)
        grain = bounds.grain * np.sqrt(self.count)
        scaled = np.abs(self.along) > bounds.scale * self.length + grain * length
        off = np.sqrt(self.apart) > bounds.error * length + grain
        wrong: Mask = scaled | off | ~np.isfinite(self.apart)
        if bounds.rounded:
            wrong |= self.peak_apart > _FOREIGN * self.peak
            explained = self.peak_apart <= ROUNDING * self.peak + bounds.grain
            wrong &= ~explained  # never true of what is no number
        return wrong


def distance(found: Floats, expected: Floats, *, scale_count: int = 0) -> Distance:
    """Compare two arrays of one shape, row by row, or scale by scale where rows have several."""
    rows = expected.shape[0] if expected.ndim > 1 else 1
    a, b = contiguous(found).reshape(rows, -1), contiguous(expected).reshape(rows, -1)
    groups = scale_count // rows if scale_count % rows == 0 else 1
    groups = groups if groups and b.shape[1] % groups == 0 else 1
    sums = np.empty((5, rows, groups), np.float64)
    step = max(1, _IN_FLIGHT // max(1, b.shape[1]))
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, rows, step):
            part = slice(start, start + step)
            sums[:, part] = _sums(a[part], b[part], groups)
    if scale_count == 1:
        sums[4] = sums[4].max()
    names = ("along", "apart", "length", "peak_apart", "peak")
    return Distance(count=b.shape[1] // groups, **dict(zip(names, sums, strict=True)))


def _sums(found: Floats, expected: Floats, groups: int) -> list[npt.NDArray[np.floating]]:
    shape = (expected.shape[0], groups, -1)
    b = expected.reshape(shape)
    off = found.reshape(shape) - b
    sums = [np.einsum("rgn,rgn->rg", x, y) for x, y in ((off, b), (off, off), (b, b))]
    return [*sums, *(np.abs(x).max(axis=-1) for x in (off, b))]
