"""Turns a recipe into the passes that make it, for each part of the model."""

from pathlib import Path
from typing import assert_never

import onnx_ir as ir

from whisperopt.backend import Recipe
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.graph.files import write
from whisperopt.passes.block_int8 import BlockInt8
from whisperopt.passes.dynamic_int8 import DynamicInt8
from whisperopt.passes.fp16 import Fp16
from whisperopt.passes.gqa_to_decomposed import GqaToDecomposed
from whisperopt.passes.gqa_to_mha import GqaToMha
from whisperopt.passes.group_int8 import GroupInt8
from whisperopt.passes.mha_to_decomposed import MhaToDecomposed
from whisperopt.passes.rewrite import Pass, run


def passes_for(recipe: Recipe, part: Part) -> list[Pass]:
    """Return the passes that turn `part` of a core model into what `recipe` asks for."""
    return [*_attention(recipe, part), *_precision(recipe, part)]


def make(recipe: Recipe, core: CoreModel, part: Part) -> ir.Model:
    """Author `part` of `core` and rewrite it as `recipe` says."""
    return run(core.part(part), passes_for(recipe, part))


def write_variant(recipe: Recipe, core: CoreModel, out: Path) -> None:
    """Write `encoder.onnx` and `decoder.onnx` of one variant into the folder `out`."""
    for part in PARTS:
        write(make(recipe, core, part), out / f"{part}.onnx")


def _attention(recipe: Recipe, part: Part) -> list[Pass]:
    if part == "encoder":
        return [MhaToDecomposed()] if recipe.encoder_attention == "decomposed" else []
    # cross-attention first: it is told from self-attention by being the only MultiHeadAttention
    passes: list[Pass] = [MhaToDecomposed()] if recipe.cross_attention == "decomposed" else []
    match recipe.self_attention:
        case "gqa":
            pass
        case "mha":
            passes.append(GqaToMha())
        case "decomposed":
            passes.append(GqaToDecomposed("concat" if recipe.cache == "concat" else "static"))
        case unreachable:
            assert_never(unreachable)
    return passes


def _precision(recipe: Recipe, part: Part) -> list[Pass]:
    precision = recipe.encoder_precision if part == "encoder" else recipe.decoder_precision
    match precision:
        case "fp32":
            return []
        case "fp16":
            return [Fp16()]
        case "int8":
            return [_int8(recipe, part)]
        case unreachable:
            assert_never(unreachable)


def _int8(recipe: Recipe, part: Part) -> Pass:
    match recipe.int8:
        case "group":
            return GroupInt8()
        case "block":
            return BlockInt8()
        case "dynamic":
            return DynamicInt8() if part == "encoder" else BlockInt8()
        case unreachable:
            assert_never(unreachable)
