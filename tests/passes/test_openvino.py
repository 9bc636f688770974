"""What OpenVINO itself makes of the forms: ai.onnx Attention, growing caches, bfloat16."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import CORE, MadeCheckpoint, form
from tests.passes.plain import Compute, Plain, exact, openvino
from tests.passes.test_equivalence import ladders
from whisperopt.backend import Attention, Precision, Recipe, Session
from whisperopt.recipe import Cache

pytest.importorskip("openvino", reason="OpenVINO is missing: pip install 'whisperopt[openvino]'")


LADDERS = [
    recipe
    for recipe in ladders()
    # OpenVINO does not convert GroupQueryAttention in bfloat16
    if recipe.precisions == {"bf16"} and recipe.self_attention != "gqa"
]


def made_form(
    attention: Attention, cache: Cache, other: str = "attention", precision: Precision = "fp32"
) -> Recipe:
    """Return a form by its self-attention, its cache, its other attentions and its precision."""
    return form(
        self_attention=attention,
        cache=cache,
        cross_attention=other,
        encoder_attention=other,
        encoder_precision=precision,
        decoder_precision=precision,
    )


NATIVE = 3e-2
"""Where a processor computes bfloat16 itself: three times what rounding every value to it costs."""


def error(
    recipe: Recipe,
    tmp_path: Path,
    *,
    batch: int,
    kv_heads: int = 4,
    opener: Callable[[Path], Compute] = openvino,
) -> float:
    """Return how far OpenVINO is from the core model's ONNX Runtime session."""
    dims = msgspec.structs.replace(SMALL, decoder_kv_heads=kv_heads)
    checkpoint = MadeCheckpoint(dims, weights(dims))  # exact in bfloat16
    sessions: list[Session] = [
        Plain(forms.write(checkpoint, recipe, tmp_path / "form"), opener),
        forms.open_session(forms.write(checkpoint, CORE, tmp_path / "core")),
    ]
    features = forms.speech_like(dims, batch=batch)
    tokens = [forms.random_tokens(dims, batch=batch, length=3, seed=seed) for seed in (1, 2)]
    return forms.largest_error(*(forms.run(session, features, *tokens) for session in sessions))


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("cache", ["static", "concat"])
def test_standard_attention_runs(cache: Cache, kv_heads: int, tmp_path) -> None:
    recipe = made_form("attention", cache)
    assert error(recipe, tmp_path, batch=2, kv_heads=kv_heads) < 1e-5


def test_grouped_attention_over_growing_caches_runs_alone(tmp_path) -> None:
    assert error(made_form("gqa", "concat", "decomposed"), tmp_path, batch=1) < 1e-5


@pytest.mark.parametrize("recipe", LADDERS, ids=[recipe.name for recipe in LADDERS])
def test_bfloat16_of_the_ladders_is_right(recipe: Recipe, tmp_path) -> None:
    assert error(recipe, tmp_path, batch=2, opener=exact) < 1e-5
    assert error(recipe, tmp_path, batch=2) < NATIVE


@pytest.mark.parametrize("attention", ["mha", "attention", "decomposed"])
def test_bfloat16_weights_are_taken(attention: Attention, tmp_path) -> None:
    recipe = made_form(attention, "concat", attention, "bf16")
    assert error(recipe, tmp_path, batch=2, opener=exact) < 1e-5
    assert error(recipe, tmp_path, batch=2) < NATIVE
