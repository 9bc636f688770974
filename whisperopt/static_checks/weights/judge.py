"""Judges one weight of a variant by its type, its form and the gates."""

import math
from collections.abc import Iterator

import msgspec
import numpy as np
import onnx_ir as ir

from whisperopt.backend import Recipe
from whisperopt.graph.core import Part
from whisperopt.matrix import Gates
from whisperopt.runtime.arrays import Floats
from whisperopt.static_checks.weights.comparison import Bounds, distance
from whisperopt.static_checks.weights.faults import fault
from whisperopt.static_checks.weights.pairs import Pair
from whisperopt.static_checks.weights.stored import StoredWeight
from whisperopt.whisper import Dimensions

_OWN_BOUNDS = {
    ir.DataType.FLOAT: 1e-5,
    ir.DataType.DOUBLE: 1e-5,
    ir.DataType.FLOAT16: 1e-3,
    ir.DataType.BFLOAT16: 8e-3,
}
"""Twice what rounding to a type can do; for single precision, what folding a factor can."""
_HALF_GRAIN = 2.0**-24
"""The smallest number of half precision; weights come near to no other type's."""
_QUERY = ".q_proj"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How far one weight is from the checkpoint's, and what is wrong with it, if anything."""

    name: str
    fault: str = ""
    scale: float = 0.0
    error: float = 0.0


class Judge:
    """Judges the weights of one graph."""

    def __init__(self, dims: Dimensions, part: Part, recipe: Recipe, gates: Gates) -> None:
        """Allow what `gates` allow to a `part` made by `recipe` of a model of size `dims`."""
        self._dims, self._part, self._recipe, self._gates = dims, part, recipe, gates
        self._factors: dict[str, tuple[str, float]] = {}

    def verdicts(self, pair: Pair) -> Iterator[Verdict]:
        """Compare everything that the variant has in the place of one weight."""
        expected = pair.expected.read() if pair.found else None
        for found in pair.found:
            if expected is not None:
                verdict = self._verdict(pair.name, found, expected)
                found.release()
                yield verdict

    def _verdict(self, name: str, found: StoredWeight, expected: Floats) -> Verdict:
        try:
            with np.errstate(invalid="ignore", over="ignore"):  # what is no number is told below
                array = found.read()
        except Exception as error:  # noqa: BLE001  # damaged weights fail in many ways
            return Verdict(name=name, fault=f"{name!r} cannot be read: {str(error)[:200]!r}")
        if array.shape != expected.shape:
            shapes = f"{list(array.shape)}, the checkpoint's {list(expected.shape)}"
            return Verdict(name=name, fault=f"{name!r} has the shape {shapes}")
        factor = folded(
            name, array, expected, dims=self._dims, part=self._part, recipe=self._recipe
        )
        if factor != 1:
            expected = expected * np.float32(factor)
        bounds = self._bounds(found)
        apart = distance(array, expected, scale_count=found.scale_count)
        wrong = apart.wrong(bounds)
        # zeros are so many times the checkpoint's as you like
        text = self._odd_factor(name, factor) if expected.any() else ""
        if wrong.any():
            text = fault(name, array, expected, wrong=wrong, bounds=bounds, product=found.product)
        scale, off = (x if math.isfinite(x) else math.inf for x in (apart.scale, apart.error))
        return Verdict(name=name, fault=text, scale=scale, error=off)

    def _bounds(self, found: StoredWeight) -> Bounds:
        own = _OWN_BOUNDS.get(found.dtype, math.inf)
        bounds = Bounds(
            scale=min(own, self._gates.weight_scale),
            error=min(own, self._gates.weight_error),
            rounded=found.dtype.is_integer() and "int8" in self._recipe.precisions,
        )
        half = found.dtype is ir.DataType.FLOAT16
        return msgspec.structs.replace(bounds, grain=_HALF_GRAIN) if half else bounds

    def _odd_factor(self, name: str, factor: float) -> str:
        """Return how weight and bias of one query differ in what was folded into them."""
        stem, query, _ = name.partition(_QUERY)
        if not query:
            return ""
        first, other = self._factors.setdefault(stem, (name, factor))
        if factor == other:
            return ""
        return f"{name!r} is {factor:.3g} times the checkpoint's, but {first!r} {other:.3g} times"


def grounds(part: Part, recipe: Recipe, gates: Gates) -> tuple[object, ...]:
    """Return all that a verdict on the weights of a `part` rests on apart from them."""
    forms: list[str] = [recipe.encoder_attention]
    if part == "decoder":
        forms = [recipe.self_attention, recipe.cross_attention]
    whole = "int8" in recipe.precisions
    return (part, *forms, recipe.kv_heads, whole, gates.weight_scale, gates.weight_error)


def folded(
    name: str, found: Floats, expected: Floats, *, dims: Dimensions, part: Part, recipe: Recipe
) -> float:
    """Return what attention in standard operators has folded into its query: 1 / sqrt(Dh)."""
    stem, query, _ = name.partition(_QUERY)
    if not query or _attention(stem, part, recipe) != "decomposed":
        return 1.0
    heads = dims.decoder_heads if part == "decoder" else dims.encoder_heads
    scale = 1 / math.sqrt(dims.width // heads)
    b = expected.ravel()
    slope = float(np.dot(found.ravel(), b)) / (float(np.dot(b, b)) or 1.0)
    near = slope > 0 and abs(math.log(slope / scale)) < abs(math.log(slope))
    return scale if near else 1.0


def _attention(stem: str, part: Part, recipe: Recipe) -> str:
    if part == "encoder":
        return recipe.encoder_attention
    cross = stem.endswith("encoder_attn")
    return recipe.cross_attention if cross else recipe.self_attention
