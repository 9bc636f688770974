"""Judges one weight of a variant by its type, its form and the gates."""

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import onnx_ir as ir

from whisperopt.backend import Recipe
from whisperopt.graph.core import CoreModel, Part
from whisperopt.matrix import Gates
from whisperopt.passes.plan import reference
from whisperopt.reasons import Reason, because
from whisperopt.runtime.arrays import Floats
from whisperopt.static_checks.weights.comparison import Bounds, Distance, distance
from whisperopt.static_checks.weights.pairs import Pair
from whisperopt.static_checks.weights.stored import StoredWeight, stored_weights

_OWN_BOUNDS = {
    ir.DataType.FLOAT: 1e-5,
    ir.DataType.DOUBLE: 1e-5,
    ir.DataType.FLOAT16: 1e-3,
    ir.DataType.BFLOAT16: 8e-3,
}
"""Twice what rounding to a type can do; for single precision, what folding a factor can."""
_HALF_GRAIN = 2.0**-24
"""The smallest number of half precision; weights come near to no other type's."""
QUERY = ".q_proj."


class VariantPart(msgspec.Struct, frozen=True):
    """One graph of a variant of `core`, as `recipe` makes it."""

    core: CoreModel
    part: Part
    recipe: Recipe

    def weights(self) -> list[StoredWeight]:
        """Return the weights that it is held against."""
        return list(stored_weights(reference(self.recipe, self.core, self.part)))

    def attention(self, stem: str) -> str:
        """Return the form of the attention that the name `stem` belongs to."""
        if self.part == "encoder":
            return self.recipe.encoder_attention
        cross = stem.endswith("encoder_attn")
        return self.recipe.cross_attention if cross else self.recipe.self_attention

    def folded(self, name: str, found: Floats, expected: Floats) -> float:
        """Return what attention in standard operators has folded into its query: 1 / sqrt(Dh)."""
        stem, query, _ = name.partition(QUERY)
        if not query or self.attention(stem) != "decomposed":
            return 1.0
        dims = self.core.checkpoint.dims
        heads = dims.decoder_heads if self.part == "decoder" else dims.encoder_heads
        scale = 1 / math.sqrt(dims.width // heads)
        b = expected.ravel()
        slope = float(np.dot(found.ravel(), b)) / (float(np.dot(b, b)) or 1.0)
        near = slope > 0 and abs(math.log(slope / scale)) < abs(math.log(slope))
        return scale if near else 1.0


def faults(variant: VariantPart, matched: Sequence[Pair], gates: Gates) -> Iterator[Reason]:
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
    """Return what is wrong with a weight, and what was folded into it if it makes a query."""
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
    factor = variant.folded(name, array, expected)
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
    place, at = repr(name), (slice(None), slice(None))
    if 2 * rows.size <= len(wrong):
        groups = np.flatnonzero(wrong[rows[0]])
        place, at = f"{row} {rows[0]} of {place}", (slice(rows[0], rows[0] + 1), slice(None))
        if groups.size < wrong.shape[1]:
            first = int(groups[0]) * apart.count
            place = f"inputs {first} to {first + apart.count - 1} of {place}"
            at = (at[0], slice(groups[0], groups[0] + 1))
    figures = apart.figures(at)
    if not all(map(math.isfinite, figures.values())):
        return because("weights.not-finite", place, part=part)
    how_many = f"{rows.size} of {len(wrong)} {row}s"
    allowed = bounds.error
    return because("weights.off", place, part=part, allowed=allowed, wrong=how_many, **figures)


def _bounds(found: StoredWeight, recipe: Recipe, gates: Gates) -> Bounds:
    own = _OWN_BOUNDS.get(found.dtype, math.inf)
    bounds = Bounds(
        scale=min(own, gates.weight_scale),
        error=min(own, gates.weight_error),
        rounded=found.dtype.is_integer() and "int8" in recipe.precisions,
    )
    half = found.dtype is ir.DataType.FLOAT16
    return msgspec.structs.replace(bounds, grain=_HALF_GRAIN) if half else bounds
