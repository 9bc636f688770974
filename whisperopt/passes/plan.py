"""Turns a recipe into the passes that make it, for each part of the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import onnx_ir as ir

from whisperopt import cache
from whisperopt.backend import Recipe
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.graph.files import write
from whisperopt.passes.audio_spans import EncodeSpans, HearSpans
from whisperopt.passes.contributed_gelu import ContributedGelu
from whisperopt.passes.fold_bias import FoldBias
from whisperopt.passes.gqa_to_attention import GqaToAttention
from whisperopt.passes.gqa_to_decomposed import GqaToDecomposed
from whisperopt.passes.gqa_to_mha import GqaToMha
from whisperopt.passes.group_heads import GroupHeads
from whisperopt.passes.grow_caches import GrowCaches
from whisperopt.passes.half import Half
from whisperopt.passes.last_logits import LastLogits
from whisperopt.passes.mha_to_attention import MhaToAttention
from whisperopt.passes.mha_to_decomposed import MhaToDecomposed
from whisperopt.passes.quantization import dynamic_int8
from whisperopt.passes.quantization.block_int8 import BlockInt8
from whisperopt.passes.quantization.calibration import chosen
from whisperopt.passes.quantization.dynamic_decoder import DynamicDecoder
from whisperopt.passes.quantization.dynamic_int8 import DynamicInt8
from whisperopt.passes.quantization.group_int8 import GroupInt8
from whisperopt.passes.quantization.mixed import ALL, Choice
from whisperopt.passes.rewrite import Pass, PassError, run
from whisperopt.reasons import because
from whisperopt.whisper import Dimensions

_CODE = ("whisperopt.graph", "whisperopt.passes", "whisperopt.checkpoint", "whisperopt.whisper")
"""The code that decides what graphs are, apart from the backends' own passes."""


def passes_for(recipe: Recipe, part: Part, choice: Choice = ALL) -> list[Pass]:
    """Return the passes that turn `part` of a core model into what `recipe` asks for.

    `choice` says which weights stay in single precision where activations are rounded too.
    Raises `PassError` for choices that exclude each other.
    """
    if part == "encoder":
        attention = [*_spans(recipe, EncodeSpans), *_bidirectional(recipe.encoder_attention)]
        return [*attention, *_gelu(recipe), *_precision(recipe, part, choice)]
    # cross-attention first: it is told from self-attention by being the only MultiHeadAttention
    attention = [
        *_spans(recipe, HearSpans),
        *_bidirectional(recipe.cross_attention),
        *_causal(recipe),
    ]
    pooling: list[Pass] = [] if recipe.kv_heads is None else [GroupHeads(recipe.kv_heads)]
    last: list[Pass] = [LastLogits()] if "last-logits" in recipe.traits else []
    return [*pooling, *attention, *last, *_gelu(recipe), *_precision(recipe, part, choice)]


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
        write_part(core, part, passes_for(recipe, part, _choice(recipe, core, part, out)), out)


def write_part(core: CoreModel, part: Part, passes: Sequence[Pass], out: Path) -> None:
    """Write one graph into the folder `out`, or copy it from where the same one lies already."""
    path = out / f"{part}.onnx"
    core.cache.provide(
        _key(core, part, passes), path, lambda: write(run(core.part(part), passes), path)
    )


def _key(core: CoreModel, part: Part, passes: Sequence[Pass]) -> str | None:
    """Name all that decides the bytes of a graph; None where something cannot be told apart."""
    code = cache.code_key(*_CODE, *(_package(type(step)) for step in passes))
    steps = [(type(step).__qualname__, getattr(step, "__dict__", step)) for step in passes]
    checkpoint, libraries = core.checkpoint, [np.__version__, ir.__version__]
    try:
        weights = [checkpoint.digest(), checkpoint.dims, checkpoint.decoding]
        found = cache.key(weights, part, steps, code, libraries)
    except TypeError:  # a pass knows something that has no digest
        return None
    return found if code else None


def _package(kind: type) -> str:
    """Return the package that the class `kind` lives in; outside of any package, its module."""
    return kind.__module__.rpartition(".")[0] or kind.__module__


def calibrated(recipe: Recipe) -> bool:
    """Say whether an encoder in single precision is written to see what may be rounded."""
    return recipe.encoder_precision == "int8" and recipe.int8 == "dynamic"


def _choice(recipe: Recipe, core: CoreModel, part: Part, out: Path) -> Choice:
    """Measure what may be rounded, where activations are."""
    if part == "encoder" and calibrated(recipe):
        return chosen(core, dynamic_int8.draw, out)
    return ALL


def _spans(recipe: Recipe, step: type[EncodeSpans | HearSpans]) -> list[Pass]:
    if recipe.audio_tail is None:
        return []
    if "attention" in (recipe.cross_attention, recipe.encoder_attention):
        raise PassError(because("passes.spans", recipe.name))
    return [step(optional="optional-spans" in recipe.traits)]


def _bidirectional(attention: Literal["mha", "attention", "decomposed"]) -> list[Pass]:
    forms: dict[str, list[Pass]]
    forms = {"mha": [], "attention": [MhaToAttention()], "decomposed": [MhaToDecomposed()]}
    return forms[attention]


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
    raise PassError(
        because("passes.cache", recipe.name, attention=recipe.self_attention, cache=recipe.cache)
    )


def _gelu(recipe: Recipe) -> list[Pass]:
    return [ContributedGelu()] if "contributed-gelu" in recipe.traits else []


def _precision(recipe: Recipe, part: Part, choice: Choice) -> list[Pass]:
    precision = recipe.encoder_precision if part == "encoder" else recipe.decoder_precision
    match precision:
        case "fp16" | "bf16":
            return [Half(precision)]
        case "int8":
            return _int8(recipe, part, choice)
    return []


def _int8(recipe: Recipe, part: Part, choice: Choice) -> list[Pass]:
    if recipe.int8 == "group":
        return [GroupInt8()]
    if recipe.int8 == "dynamic" and part == "encoder":
        return [DynamicInt8(choice)]
    if recipe.int8 == "dynamic" and "dynamic-decoder" in recipe.traits:
        return [DynamicDecoder(), FoldBias(), BlockInt8()]
    return [BlockInt8()]
