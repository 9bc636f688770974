"""Turns a recipe into the passes that make it, for each part of the model."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx_ir as ir

from whisperopt import cache
from whisperopt.backend import Recipe
from whisperopt.graph.core import PARTS, CoreModel, Part, write
from whisperopt.passes.audio_spans import EncodeSpans, HearSpans
from whisperopt.passes.caches import GrowCaches
from whisperopt.passes.contributed_gelu import ContributedGelu
from whisperopt.passes.gqa import GqaToAttention, GqaToDecomposed, GqaToMha
from whisperopt.passes.group_heads import GroupHeads
from whisperopt.passes.half import Half
from whisperopt.passes.last_logits import LogitsOfLast
from whisperopt.passes.mha import MhaToAttention, MhaToDecomposed
from whisperopt.passes.quantization.blocks import BlockInt8, GroupInt8
from whisperopt.passes.quantization.calibration import AUTHORING, chosen
from whisperopt.passes.quantization.dynamic import DynamicDecoder, DynamicInt8, FoldBias
from whisperopt.passes.quantization.mixed import ALL, Choice
from whisperopt.passes.rewrite import Pass, PassError, run
from whisperopt.reasons import because
from whisperopt.whisper import Dimensions


def passes_for(recipe: Recipe, part: Part, choice: Choice = ALL) -> list[Pass]:
    """Return the passes that turn `part` of a core model into what `recipe` asks for.

    `choice` says which weights stay in single precision where activations are rounded too.
    Raises `PassError` for choices that exclude each other.
    """
    return list(_passes(recipe, part, choice))


def _passes(recipe: Recipe, part: Part, choice: Choice) -> Iterator[Pass]:
    encoder = part == "encoder"
    if recipe.kv_heads is not None and not encoder:
        yield GroupHeads(recipe.kv_heads)
    if recipe.audio_tail is not None:
        if "attention" in (recipe.cross_attention, recipe.encoder_attention):
            raise PassError(because("passes.spans", recipe.name))
        step = EncodeSpans if encoder else HearSpans
        yield step(optional="optional-spans" in recipe.traits)
    # cross-attention first: it is told from self-attention by being the only MultiHeadAttention
    attention = recipe.encoder_attention if encoder else recipe.cross_attention
    if attention != "mha":
        yield MhaToAttention() if attention == "attention" else MhaToDecomposed()
    if not encoder:
        yield from _causal(recipe)
        if "last-logits" in recipe.traits:
            yield LogitsOfLast()
    if "contributed-gelu" in recipe.traits:
        yield ContributedGelu()
    yield from _precision(recipe, part, choice)


def _precision(recipe: Recipe, part: Part, choice: Choice) -> Iterator[Pass]:
    encoder = part == "encoder"
    match recipe.encoder_precision if encoder else recipe.decoder_precision:
        case "fp16" | "bf16" as precision:
            yield Half(precision)
        case "int8" if recipe.int8 == "group":
            yield GroupInt8()
        case "int8" if recipe.int8 == "dynamic" and encoder:
            yield DynamicInt8(choice)
        case "int8":
            if recipe.int8 == "dynamic" and "dynamic-decoder" in recipe.traits:
                yield from (DynamicDecoder(), FoldBias())
            yield BlockInt8()


def _causal(recipe: Recipe) -> list[Pass]:
    match recipe.self_attention, recipe.cache:
        case "gqa", cache:
            return [GrowCaches()] if cache == "concat" else []
        case "mha", "concat":
            return [GqaToMha(explicit_mask="explicit-mask" in recipe.traits)]
        case "attention", ("static" | "concat") as cache:
            return [GqaToAttention(cache)]
        case "decomposed", ("static" | "concat") as cache:
            return [GqaToDecomposed(cache)]
    values = {"attention": recipe.self_attention, "cache": recipe.cache}
    raise PassError(because("passes.cache", recipe.name, **values))


def weights_of(recipe: Recipe, part: Part) -> tuple[object, ...]:
    """Return what decides the weights of `part`: variants that have it in common share them."""
    steps = tuple(type(step).__name__ for step in _precision(recipe, part, ALL))
    if part == "encoder":
        return (recipe.encoder_precision, *steps)
    return (recipe.decoder_precision, recipe.kv_heads, *steps)


def dims_of(recipe: Recipe, dims: Dimensions) -> Dimensions:
    """Return the sizes of a variant of a model of size `dims`: pooling leaves fewer heads."""
    kv_heads = recipe.kv_heads or dims.decoder_kv_heads
    return msgspec.structs.replace(dims, decoder_kv_heads=kv_heads)


def make(recipe: Recipe, core: CoreModel, part: Part) -> ir.Model:
    """Author `part` of `core` and rewrite it as `recipe` says."""
    return run(core.part(part), passes_for(recipe, part))


def reference(recipe: Recipe, core: CoreModel, part: Part) -> ir.Model:
    """Author what `part` of a variant by `recipe` is held against.

    It has the variant's heads and spans, and otherwise the forms and the precision of `core`.
    """
    plain = msgspec.structs.replace(
        recipe,
        self_attention="gqa",
        cross_attention="mha",
        encoder_attention="mha",
        cache="shared",
        encoder_precision="fp32",
        decoder_precision="fp32",
        traits=(),
    )
    return make(plain, core, part)


def write_variant(recipe: Recipe, core: CoreModel, out: Path) -> None:
    """Write `encoder.onnx` and `decoder.onnx` of one variant into the folder `out`."""
    for part in PARTS:
        measured = part == "encoder" and calibrated(recipe)
        choice = chosen(core, out) if measured else ALL
        write_part(core, part, passes_for(recipe, part, choice), out)


def write_part(core: CoreModel, part: Part, passes: Sequence[Pass], out: Path) -> None:
    """Write one graph into the folder `out`, or copy it from where the same one lies already."""
    path, key = out / f"{part}.onnx", _key(core, part, passes)
    core.cache.provide(key, path, lambda: write(run(core.part(part), passes), path))


def _key(core: CoreModel, part: Part, passes: Sequence[Pass]) -> str | None:
    """Name all that decides the bytes of a graph; None where something cannot be told apart."""
    modules = [type(step).__module__ for step in passes]
    code = cache.code_key(*AUTHORING, *(name.rpartition(".")[0] or name for name in modules))
    steps = [(type(step).__qualname__, getattr(step, "__dict__", step)) for step in passes]
    checkpoint, libraries = core.checkpoint, [np.__version__, ir.__version__]
    try:
        weights = [checkpoint.digest(), checkpoint.dims, checkpoint.decoding]
        found = cache.key(weights, part, steps, code, libraries)
    except TypeError:  # a pass knows something that has no digest
        return None
    return found if code else None


def calibrated(recipe: Recipe) -> bool:
    """Say whether an encoder in single precision is written to see what may be rounded."""
    return recipe.encoder_precision == "int8" and recipe.int8 == "dynamic"
