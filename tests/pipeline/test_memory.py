"""Weights stream: what a build needs follows from the largest tensor, not from their number."""

import gc
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from tests.makers import SMALL, write_huggingface
from tests.passes.forms import CORE, form
from whisperopt import matrix
from whisperopt.backend import Recipe
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.graph.core import CoreModel
from whisperopt.passes.plan import write_variant
from whisperopt.static_checks import weights
from whisperopt.whisper import Dimensions

WIDE = msgspec.structs.replace(
    SMALL, width=256, encoder_ffn=1024, decoder_ffn=1024, encoder_layers=1, decoder_layers=1
)
LAYERS = 4
GROWTH = (LAYERS - 1) * WIDE.width * (2 * 4 * WIDE.width + 4 * WIDE.width + 4 * WIDE.decoder_ffn)
"""How many weights of matrices the deeper model has more, at four bytes each."""


def peak(dims: Dimensions, recipe: Recipe, folder: Path) -> int:
    """Return the most bytes that were allocated while a variant was written and compared."""
    write_huggingface(folder / "model", dims, dtype="float16")
    core = CoreModel(open_checkpoint(folder / "model"))
    (folder / "out").mkdir()
    often = gc.get_threshold()
    gc.set_threshold(100, 2, 2)  # or it is chance what of the graphs' cycles is still there
    tracemalloc.start()
    try:
        write_variant(recipe, core, folder / "out")
        weights.check(core, folder / "out", recipe, matrix.load().target("cpu").gates["int8"])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.set_threshold(*often)


@pytest.mark.parametrize(
    "recipe",
    [
        CORE,
        form(encoder_precision="int8", decoder_precision="int8", int8="block", name="block"),
    ],
    ids=lambda recipe: recipe.name,
)
def test_more_layers_need_hardly_more_memory(recipe: Recipe, tmp_path: Path) -> None:
    deep = msgspec.structs.replace(WIDE, encoder_layers=LAYERS, decoder_layers=LAYERS)
    flat = peak(WIDE, recipe, tmp_path / "flat")
    grown = peak(deep, recipe, tmp_path / "deep") - flat
    assert grown < 4 * GROWTH / 4  # and these are the nodes of the graphs
