"""Variants of one small model with the noise of trained weights, and ways to tamper with them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

from tests.makers import SMALL
from tests.passes import forms
from whisperopt import artifact, matrix, registry
from whisperopt.backend import Recipe
from whisperopt.checkpoint.shapes import required
from whisperopt.graph.core import CoreModel, write
from whisperopt.passes.plan import dims_of
from whisperopt.reasons import Reason
from whisperopt.release import genai
from whisperopt.static_checks.weights import WeightCheck, check

Array = npt.NDArray[Any]
Change = Callable[[Array], Array]

# a head size of 24, whose root no float holds, and no two sides alike but where they must be
DIMS = msgspec.structs.replace(SMALL, width=96, encoder_layers=1, encoder_ffn=160, decoder_ffn=128)
GATES = matrix.load().target("cpu").gates_for
FC1, FC2 = "encoder.layers.0.fc1.weight", "decoder.layers.1.fc2.weight"
FORMS = {
    "fp32": {"encoder_precision": "fp32", "decoder_precision": "fp32"},
    "fp16": {"encoder_precision": "fp16", "decoder_precision": "fp16"},
    "bf16": {"encoder_precision": "bf16", "decoder_precision": "bf16"},
    "block": {"encoder_precision": "int8", "decoder_precision": "int8"},
    "group": {"encoder_precision": "int8", "decoder_precision": "int8", "int8": "group"},
    "dynamic": {"encoder_precision": "int8", "decoder_precision": "int8", "int8": "dynamic"},
    "whole": {
        "encoder_precision": "int8",
        "decoder_precision": "int8",
        "int8": "dynamic",
        "traits": ("last-logits", "dynamic-decoder"),
    },
}
FLOATS, WHOLE = ("fp32", "fp16", "bf16"), ("block", "group", "dynamic", "whole")
Made = Callable[[str], Path]


def core() -> CoreModel:
    """A core model with the noise that trained weights have: nothing fits a type exactly."""
    random = np.random.default_rng(7)
    shapes = required(DIMS).items()
    weights = {name: random.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes}
    for name in weights:
        if name.endswith("norm.weight"):
            weights[name] += 1
    return CoreModel(forms.MadeCheckpoint(DIMS, weights))


CORE = core()


def write_manifest(folder: Path, recipe: Recipe) -> Path:
    manifest = artifact.Manifest(
        model="made",
        target="cpu",
        backend="cpu",
        recipe=recipe,
        dims=dims_of(recipe, DIMS),
        decoding=CORE.checkpoint.decoding,
        checkpoint=CORE.checkpoint.digest(),
    )
    artifact.write_manifest(folder, manifest)
    genai.write(folder, manifest)
    (folder / artifact.TOKENIZER).write_bytes(CORE.checkpoint.tokenizer_json())
    return folder


def recipe_for(form: str) -> Recipe:
    return forms.form(forms.DECOMPOSED, **FORMS[form])


def judged(folder: Path) -> WeightCheck:
    recipe = artifact.read(folder).manifest.recipe
    return check(CORE, folder, recipe, GATES(recipe.precisions))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Variants by their form, each made once."""
    folders: dict[str, Path] = {}

    def get(form: str) -> Path:
        if form not in folders:
            folders[form] = tmp_path_factory.mktemp(form)
            registry.require("cpu").build(recipe_for(form), CORE, folders[form])
            write_manifest(folders[form], recipe_for(form))
        return folders[form]

    return get


def edited(folder: Path, out: Path, name: str, change: Change) -> Path:
    """Copy a variant to `out`, with one of its tensors changed."""

    def edit(model: ir.Model) -> None:
        value = model.graph.initializers[name]
        assert value.const_value is not None
        array = value.const_value.numpy()
        changed = np.ascontiguousarray(change(array.copy())).astype(array.dtype)
        value.const_value = ir.Tensor(changed, dtype=value.const_value.dtype, name=name)

    encoder = name.startswith("encoder") or "encoder_attn.k" in name
    return rewritten(folder, out, "encoder" if encoder else "decoder", edit)


def rewritten(folder: Path, out: Path, part: str, edit: Callable[[ir.Model], None]) -> Path:
    """Copy a variant to `out`, with one of its graphs changed."""
    shutil.copytree(folder, out)
    model = ir.load(folder / f"{part}.onnx")
    edit(model)
    write(model, out / f"{part}.onnx")
    return out


def times(factor: float, *where: Any) -> Change:
    def change(array: Array) -> Array:
        array[where or ...] = array[where or ...].astype(np.float32) * np.float32(factor)
        return array

    return change


def swap(one: int, other: int, axis: int = 0) -> Change:
    def change(array: Array) -> Array:
        order = np.arange(array.shape[axis])
        order[[one, other]] = other, one
        return array.take(order, axis)

    return change


def reason(folder: Path) -> Reason:
    """Return the one reason why the variant is refused."""
    (only,) = judged(folder).reasons
    return only
