"""Estimates what a build writes, so that a full disk is noticed before and not after an hour."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

from whisperopt.backend import Precision, Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.shapes import required
from whisperopt.errors import DiskError
from whisperopt.graph.core import Part
from whisperopt.passes.plan import calibrated
from whisperopt.reasons import because
from whisperopt.release import store

_BYTES: dict[Precision, float] = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "int8": 1.2}
"""Bytes of one weight; 8-bit ones carry scales, and not every weight is packed."""
_MB = 1e6


def needed(checkpoint: Checkpoint, recipes: Sequence[Recipe], *, proof: bool) -> int:
    """Return the bytes of all variants at once, and of what they are proven against."""
    weights = parameters(checkpoint)
    total = sum(
        weights["encoder"] * _BYTES[recipe.encoder_precision]
        + weights["decoder"] * _BYTES[recipe.decoder_precision]
        for recipe in recipes
    )
    if proof and recipes:
        # the core model, what it is compared with node by node, and a twin or double at a time
        cores = len({(recipe.kv_heads, recipe.audio_tail is None) for recipe in recipes})
        total += sum(weights.values()) * _BYTES["fp32"] * (2 + cores)
    elif any(calibrated(recipe) for recipe in recipes):
        total += weights["encoder"] * _BYTES["fp32"]  # less than a double, which comes later
    return round(total)


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
