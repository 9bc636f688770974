"""Judges one weight of a variant by its type, its form and the gates: how far off it may be."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.backend import Recipe
from whisperopt.graph.canvas import contiguous
from whisperopt.graph.core import CoreModel, Part
from whisperopt.matrix import Gates
from whisperopt.passes.plan import reference
from whisperopt.reasons import Reason, because
from whisperopt.runtime.arrays import Floats
from whisperopt.static_checks.weights.pairs import WeightPair
from whisperopt.static_checks.weights.stored import StoredWeight, stored_weights

Sums: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_IN_FLIGHT = 1 << 19
_ROUNDING = 1 / 127
"""Largest error of whole numbers of 7 bits or more, as a share of their group's peak."""
_FOREIGN = 1 / 8
"""An error that no rounding makes, as a share of the group's peak."""
_OWN_BOUNDS = {
    ir.DataType.FLOAT: 1e-5,
    ir.DataType.DOUBLE: 1e-5,
    ir.DataType.FLOAT16: 1e-3,
    ir.DataType.BFLOAT16: 8e-3,
}
"""Twice what rounding to a type can do; for single precision, what folding a factor can."""
_HALF_GRAIN = 2.0**-24
"""The smallest number of half precision; weights come near to no other type's."""
_ANY_GRAIN = 1e-12
"""Below it nothing matters."""
QUERY = ".q_proj."


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stored weight may be from the checkpoint's."""

    scale: float
    """Largest |slope - 1| of a group, slope being the least-squares <a, b> / <b, b>."""
    error: float
    """Largest ||a - b|| / ||b|| of a group."""
    grain: float = _ANY_GRAIN
    """How far off each number may be beyond that: the smallest numbers of a type are."""
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

    def figures(self, at: Any) -> dict[str, float]:
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
            explained = self.peak_apart <= _ROUNDING * self.peak + bounds.grain
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


class VariantPart(msgspec.Struct, frozen=True):
    """One graph of a variant of `core`, as `recipe` makes it."""

    core: CoreModel
    part: Part
    recipe: Recipe

    def weights(self) -> list[StoredWeight]:
        """Return the weights that it is held against."""
        return list(stored_weights(reference(self.recipe, self.core, self.part)))

    def unfolded(self, name: str, found: Floats, expected: Floats) -> float:
        """Return what a query is larger by where its attention scales the scores: sqrt(Dh), or 1.

        The core model has the scale in the query's weights; graphs of others, and those that were
        made before, may have it as an attribute.
        """
        if QUERY not in name:
            return 1.0
        dims = self.core.checkpoint.dims
        heads = dims.decoder_heads if self.part == "decoder" else dims.encoder_heads
        scale = math.sqrt(dims.width // heads)
        b = expected.ravel()
        slope = float(np.dot(found.ravel(), b)) / (float(np.dot(b, b)) or 1.0)
        near = slope > 0 and abs(math.log(slope / scale)) < abs(math.log(slope))
        return scale if near else 1.0


def faults(variant: VariantPart, matched: Sequence[WeightPair], gates: Gates) -> Iterator[Reason]:
    """Yield what is wrong with the weights that were found; two are in memory at a time."""
    part = variant.part
    factors: dict[str, tuple[str, float]] = {}
    for pair in matched:
        if not pair.found:
            continue
        place, expected = repr(pair.name), pair.expected.read()
        for found in pair.found:
            fault, factor = _compared(variant, pair.name, found, expected, gates)
            found.release()
            if fault is None and factor is not None:
                query = pair.name.partition(QUERY)[0]
                other, its = factors.setdefault(query, (place, factor))
                if factor != its:
                    code = "weights.factor"
                    fault = because(code, place, part=part, factor=factor, other=other, its=its)
            if fault is not None:
                yield fault


def _compared(
    variant: VariantPart, name: str, found: StoredWeight, expected: Floats, gates: Gates
) -> tuple[Reason | None, float | None]:
    """Return what is wrong with a weight, and what a query's is larger by."""
    place, part = repr(name), variant.part
    try:
        with np.errstate(invalid="ignore", over="ignore"):  # what is no number is told below
            array = found.read()
    except Exception as error:  # noqa: BLE001  # damaged weights fail in many ways
        why = repr(str(error)[:200])
        return because("weights.unreadable", place, part=part, why=why), None
    if array.shape != expected.shape:
        shapes = {"found": str(list(array.shape)), "expected": str(list(expected.shape))}
        return because("weights.shape", place, part=part, **shapes), None
    factor = variant.unfolded(name, array, expected)
    wanted = expected if factor == 1 else expected * np.float32(factor)
    apart = distance(array, wanted, scale_count=found.scale_count)
    row = ("tensor", "channel" if found.product else "row", "channel")[min(array.ndim, 3) - 1]
    # zeros are so many times the checkpoint's as you like
    told = factor if QUERY in name and expected.any() else None
    return _fault(name, apart, _bounds(found, variant.recipe, gates), row, part), told


def _fault(name: str, apart: Distance, bounds: Bounds, row: str, part: str) -> Reason | None:
    """Return where a weight is further off than `bounds` allow, and by how much; or None."""
    wrong = apart.wrong(bounds)
    rows = np.flatnonzero(wrong.any(axis=1))
    if not rows.size:
        return None
    place, at = repr(name), np.s_[:, :]
    if 2 * rows.size <= len(wrong):
        groups = np.flatnonzero(wrong[rows[0]])
        place, at = f"{row} {rows[0]} of {place}", np.s_[rows[0], :]
        if groups.size < wrong.shape[1]:
            first = int(groups[0]) * apart.count
            place = f"inputs {first} to {first + apart.count - 1} of {place}"
            at = np.s_[rows[0], groups[0]]
    figures = apart.figures(at)
    if not all(map(math.isfinite, figures.values())):
        return because("weights.not-finite", place, part=part)
    how_many = f"{rows.size} of {len(wrong)} {row}s"
    allowed = bounds.error
    return because("weights.off", place, part=part, allowed=allowed, wrong=how_many, **figures)


def _bounds(found: StoredWeight, recipe: Recipe, gates: Gates) -> Bounds:
    own = _OWN_BOUNDS.get(found.dtype, math.inf)
    return Bounds(
        scale=min(own, gates.weight_scale),
        error=min(own, gates.weight_error),
        grain=_HALF_GRAIN if found.dtype is ir.DataType.FLOAT16 else _ANY_GRAIN,
        rounded=found.dtype.is_integer() and "int8" in recipe.precisions,
    )
