"""Says in words what is wrong with a stored weight."""

import numpy as np
import numpy.typing as npt

from whisperopt.runtime.arrays import Floats
from whisperopt.static_checks.weights.comparison import ROUNDING, Bounds, Mask, distance

_SHIFTS = (1, -1, 2, -2, 3, -3)
_FEW = 64
_LOOSE = 1 / 48
"""Rounding beside a scale that is only estimated, as a share of the peak."""


def fault(
    name: str, found: Floats, expected: Floats, *, wrong: Mask, bounds: Bounds, product: bool
) -> str:
    """Return what is wrong with `found`, whose groups `wrong` [rows, groups] are out of `bounds`.

    `product` tells weights [out, in] from tables, whose rows are looked up.
    """
    whole = _plain_fault(found, expected, bounds)
    if whole or found.ndim == 1:
        return f"{name!r} {whole or _difference(found, expected, bounds)}"
    row = "channel" if product or found.ndim > 2 else "row"
    moved = _moved(found, expected, wrong, bounds, row)
    if moved:
        return f"{name!r} {moved}"
    rows = np.flatnonzero(wrong.any(axis=1))
    if 2 * len(rows) > len(wrong):
        return f"{name!r} {_difference(found, expected, bounds)}"
    return _local(name, found, expected, wrong=wrong, bounds=bounds, row=row)


def _local(
    name: str, found: Floats, expected: Floats, *, wrong: Mask, bounds: Bounds, row: str
) -> str:
    """Describe the first wrong row or group, and count the others."""
    rows = np.flatnonzero(wrong.any(axis=1))
    first = int(rows[0])
    groups = np.flatnonzero(wrong[first])
    a, b = found[first].ravel(), expected[first].ravel()
    where = f"{row} {first}"
    if len(groups) < wrong.shape[1]:
        size = a.size // wrong.shape[1]
        start = int(groups[0]) * size
        a, b = a[start : start + size], b[start : start + size]
        where = f"inputs {start} to {start + size - 1} of {where}"
    what = _plain_fault(a, b, bounds) or _difference(a, b, bounds)
    others = len(rows) - 1
    verb = "s are" if others > 1 else " is"
    more = f", and {others} more {row}{verb} off" if others else ""
    return f"{where} of {name!r} {what}{more}"


def _plain_fault(found: Floats, expected: Floats, bounds: Bounds) -> str:
    """Return what is wrong with all of `found` alike, or nothing."""
    if not np.isfinite(found).all():
        return "holds numbers that are not finite"
    if not found.any():
        return "is all zeros, the checkpoint's is not"
    if not expected.any():
        return "is not zero, the checkpoint's is"
    b = expected.ravel()
    slope = float(np.dot(found.ravel(), b)) / float(np.dot(b, b))
    if abs(slope - 1) > bounds.scale and slope and _alike(found / np.float32(slope), b, bounds):
        return f"is {slope:.3f} times the checkpoint's"
    return ""


def _moved(found: Floats, expected: Floats, wrong: Mask, bounds: Bounds, row: str) -> str:
    """Return how the right numbers lie in the wrong places, or nothing."""
    for shift in _SHIFTS if row == "row" else ():
        size = max(0, len(found) - abs(shift))
        low, high = max(0, -shift), max(0, shift)
        if size and _alike(found[low : low + size], expected[high : high + size], bounds):
            return f"is the checkpoint's shifted by {abs(shift)} row{'s' * (abs(shift) > 1)}"
    square = found.ndim == 2 and found.shape[0] == found.shape[1]
    if square and _alike(found.T, expected, bounds):
        return "is the checkpoint's transposed"
    rows = np.flatnonzero(wrong.any(axis=1))
    if pair := _swapped(found, expected, rows[:_FEW], bounds):
        return f"has the {row}s {pair[0]} and {pair[1]} of the checkpoint's swapped"
    a, b = found.reshape(len(found), -1).T, expected.reshape(len(found), -1).T
    apart = distance(np.ascontiguousarray(a), np.ascontiguousarray(b)).apart[:, 0]
    worst = np.sort(np.argsort(-apart)[:2])
    if pair := _swapped(a, b, worst, bounds):
        return f"has the inputs {pair[0]} and {pair[1]} of the checkpoint's swapped"
    return ""


def _swapped(
    found: Floats, expected: Floats, rows: npt.NDArray[np.intp], bounds: Bounds
) -> tuple[int, int] | None:
    """Return the two of `rows` that lie in each other's places, or None."""
    for place, one in enumerate(rows):
        for other in rows[place + 1 :]:
            if _alike(found[one], expected[other], bounds) and _alike(
                found[other], expected[one], bounds
            ):
                return int(one), int(other)
    return None


def _alike(found: Floats, expected: Floats, bounds: Bounds) -> bool:
    b = expected.ravel()
    off = found.ravel() - b
    grain = bounds.grain * np.sqrt(b.size)
    near = np.linalg.norm(off) <= bounds.error * np.linalg.norm(b) + grain
    rounded = bounds.rounded and np.abs(off).max() <= _LOOSE * np.abs(b).max()
    return bool(near or rounded)


def _difference(found: Floats, expected: Floats, bounds: Bounds) -> str:
    error = distance(found.ravel(), expected.ravel()).error
    if error > bounds.error:
        allowed = _percent(bounds.error)
        return f"differs from the checkpoint's by {_percent(error)} (allowed {allowed})"
    share = float(np.abs(found - expected).max() / np.abs(expected).max())
    explained = f"rounding to whole numbers explains {_percent(ROUNDING)}"
    return f"has numbers that are off by {_percent(share)} of the largest ({explained})"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 100 else f"{percent:.2g} %"
