"""Estimates what a build writes, so that a full disk is noticed before and not after an hour."""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

from whisperopt.backend import Precision, Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.shapes import required
from whisperopt.errors import DiskError
from whisperopt.graph.core import PARTS, Part
from whisperopt.passes.plan import calibrated, weights_of
from whisperopt.reasons import because
from whisperopt.release import store

_BYTES: dict[Precision, float] = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "int8": 1.2}
"""Bytes of one weight; 8-bit ones carry scales, and not every weight is packed."""
_MB = 1e6


def needed(
    checkpoint: Checkpoint, recipes: Sequence[Recipe], *, proof: bool, raced: Sequence[Recipe] = ()
) -> int:
    """Return the most bytes that lie there at once while variants are made in this order.

    That is what differs between those made so far, and all of the next. With `proof` what they are
    proven against comes on top, and once more what is `raced`, which needs folders of its own.
    What stands in for others is not counted: it is made in the place of one of them.
    """
    weights = parameters(checkpoint)
    held: dict[tuple[object, ...], float] = {}
    most = 0.0
    for recipe in (recipe for recipe in recipes if not recipe.stands_in_for):
        own = _sizes(weights, recipe)
        double = weights["encoder"] * _BYTES["fp32"] if calibrated(recipe) else 0
        most = max(most, sum(held.values()) + max(sum(own.values()), double))
        held |= own
    if proof and recipes:
        # the core model, what it is compared with node by node, and a twin or double at a time
        cores = len({(recipe.kv_heads, recipe.audio_tail is None) for recipe in recipes})
        most += sum(weights.values()) * _BYTES["fp32"] * (2 + cores)
        lent = (_sizes(weights, recipe) for recipe in raced if not recipe.stands_in_for)
        most += sum(size for sizes in lent for size in sizes.values())
    return round(most)


def _sizes(weights: Mapping[Part, int], recipe: Recipe) -> dict[tuple[object, ...], float]:
    """Return the bytes of a variant's weights, by all that they differ by from another's."""
    sizes: dict[tuple[object, ...], float] = {}
    for part in PARTS:
        precision = recipe.encoder_precision if part == "encoder" else recipe.decoder_precision
        sizes[part, weights_of(recipe, part)] = weights[part] * _BYTES[precision]
    return sizes


def parameters(checkpoint: Checkpoint) -> dict[Part, int]:
    """Count the weights of each graph; the encoder computes the keys and values of its output."""
    weights: dict[Part, int] = {"encoder": 0, "decoder": 0}
    for name, shape in required(checkpoint.dims).items():
        cross = ".encoder_attn.k_proj." in name or ".encoder_attn.v_proj." in name
        weights["encoder" if cross or name.startswith("encoder.") else "decoder"] += prod(shape)
    if "proj_out.weight" in checkpoint.names():
        weights["decoder"] += checkpoint.dims.vocabulary * checkpoint.dims.width
    return weights


def check(size: int, release: Path) -> None:
    """Raise a DiskError if `size` bytes do not fit beside what `release` already holds."""
    free = store.free_bytes(release)
    if size > free:
        raise DiskError(because("build.space", release, needed=size / _MB, free=free / _MB))
