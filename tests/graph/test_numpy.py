"""Checkpoints as they are read and authored compute what Whisper is defined to compute."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.graph.numpy_whisper import NumpyWhisper
from tests.makers import SMALL, Weights, write_ctranslate2, write_huggingface
from tests.passes import forms
from tests.passes.test_equivalence import SHARING
from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import open_checkpoint

WRITERS = (write_huggingface, write_ctranslate2)


def made(write: Callable[..., Weights], folder: Path, kv_heads: int) -> Checkpoint:
    """Write a checkpoint with so many key/value heads of four, and open it."""
    write(folder, msgspec.structs.replace(SMALL, decoder_kv_heads=kv_heads))
    return open_checkpoint(folder)


def error(checkpoint: Checkpoint, recipe: Recipe, folder: Path, *, batch: int) -> float:
    """Return how far one form is from NumPy, over a prefill of three tokens and three steps."""
    session = forms.open_session(forms.write(checkpoint, recipe, folder))
    features = forms.speech_like(checkpoint.dims, batch=batch)
    prompt, forced = (
        forms.random_tokens(checkpoint.dims, batch=batch, length=3, seed=seed) for seed in (1, 2)
    )
    expected = NumpyWhisper(checkpoint).run(features, prompt, forced)
    return forms.largest_error(forms.run(session, features, prompt, forced), expected)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("write", WRITERS)
def test_checkpoint_of_any_number_of_key_heads_is_authored_as_it_is(
    write: Callable[..., Weights], kv_heads: int, tmp_path: Path
) -> None:
    checkpoint = made(write, tmp_path / "checkpoint", kv_heads)
    assert checkpoint.dims.decoder_kv_heads == kv_heads
    assert checkpoint.dims.decoder_heads == SMALL.decoder_heads
    for batch in (1, 2):
        found = error(checkpoint, forms.CORE, tmp_path / f"batch-{batch}", batch=batch)
        assert found < 1e-5, f"batch {batch}"


@pytest.mark.parametrize("recipe", SHARING, ids=[recipe.name for recipe in SHARING])
def test_every_form_that_takes_fewer_key_heads_is_right(recipe: Recipe, tmp_path: Path) -> None:
    checkpoint = made(write_huggingface, tmp_path / "checkpoint", 2)
    assert error(checkpoint, recipe, tmp_path / "form", batch=2) < 1e-5
