"""GroupQueryAttention becomes standard operators over a static or a growing cache."""

from typing import Literal

import msgspec
import numpy as np
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import MadeCheckpoint
from whisperopt.graph.core import CoreModel
from whisperopt.passes.gqa import GqaToDecomposed
from whisperopt.passes.half import Half
from whisperopt.passes.mha import MhaToDecomposed
from whisperopt.passes.rewrite import nodes, run

CACHES: tuple[Literal["static", "concat"], ...] = ("static", "concat")


@pytest.mark.parametrize("cache", CACHES)
def test_only_standard_operators_are_left(
    cache: Literal["static", "concat"], small_core: CoreModel
) -> None:
    model = run(small_core.part("decoder"), [MhaToDecomposed(), GqaToDecomposed(cache)])
    assert {node.domain for node in model.graph} == {""}
    assert len(nodes(model, "Softmax")) == 2 * SMALL.decoder_layers


@pytest.mark.parametrize("cache", CACHES)
def test_mask_is_drawn_once_for_all_layers(
    cache: Literal["static", "concat"], small_core: CoreModel
) -> None:
    model = run(small_core.part("decoder"), [GqaToDecomposed(cache)])
    (visible,) = nodes(model, "LessOrEqual")
    (mask,) = (node for node, _ in visible.outputs[0].uses())
    assert len(mask.outputs[0].uses()) == SMALL.decoder_layers


def test_static_cache_keeps_inputs_and_outputs_as_they_are(small_core: CoreModel) -> None:
    def signature(model):
        values = [*model.graph.inputs, *model.graph.outputs]
        return [(value.name, value.dtype, str(value.shape)) for value in values]

    before = signature(small_core.part("decoder"))
    assert signature(run(small_core.part("decoder"), [GqaToDecomposed("static")])) == before


def test_growing_cache_replaces_the_length_input(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [GqaToDecomposed("concat")])
    inputs = {value.name: str(value.shape) for value in model.graph.inputs}
    assert "past_sequence_length" not in inputs
    assert inputs["past_key_self_0"] == "[batch,4,past,16]"
    assert len(nodes(model, "Concat")) == 2 * SMALL.decoder_layers


@pytest.mark.parametrize(("batch", "new"), [(1, 3), (2, 1)])
@pytest.mark.parametrize("decomposed", [False, True])
def test_slots_beyond_the_past_are_never_seen(
    decomposed: bool, batch: int, new: int, small_core: CoreModel, tmp_path
) -> None:
    recipe = forms.form(forms.DECOMPOSED if decomposed else forms.CORE, cache="static")
    made = forms.write(small_core.checkpoint, recipe, tmp_path)
    from onnxruntime import InferenceSession

    session = InferenceSession(made.graph("decoder"), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(3)
    past = 5
    cache = (batch, SMALL.decoder_heads, SMALL.text_context, SMALL.head_size)
    clean = {
        value.name: random.standard_normal(cache).astype(np.float32)
        for value in session.get_inputs()
        if "_self_" in value.name
    }
    audio = {
        value.name: random.standard_normal((batch, 4, 20, 16)).astype(np.float32)
        for value in session.get_inputs()
        if "_cross_" in value.name
    }
    stale = {name: array.copy() for name, array in clean.items()}
    for array in stale.values():
        array[:, :, past:] = 1000
    ids = forms.random_tokens(SMALL, batch=batch, length=new)
    fixed = {"input_ids": ids, "past_sequence_length": np.array([past], np.int32), **audio}
    (expected,), (found,) = (session.run(["logits"], fixed | caches) for caches in (clean, stale))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("cache", CACHES)
def test_half_precision_may_come_before_or_after(
    cache: Literal["static", "concat"], precision: Literal["fp16", "bf16"], small_core: CoreModel
) -> None:
    first, last = (
        run(small_core.part("decoder"), passes)
        for passes in (
            [Half(precision), GqaToDecomposed(cache)],
            [GqaToDecomposed(cache), Half(precision)],
        )
    )
    types = [
        {name: value.dtype for name, value in model.graph.initializers.items()}
        for model in (first, last)
    ]
    assert types[0] == types[1]


@pytest.mark.parametrize("cache", CACHES)
def test_keys_that_heads_share_are_never_copied(
    cache: Literal["static", "concat"], small_core: CoreModel
) -> None:
    dims = msgspec.structs.replace(SMALL, decoder_kv_heads=1)
    core = CoreModel(MadeCheckpoint(dims, weights(dims)))
    model = run(core.part("decoder"), [GqaToDecomposed(cache)])
    plain = run(small_core.part("decoder"), [GqaToDecomposed(cache)])
    counts, usual = forms.operators(model), forms.operators(plain)
    assert counts.pop("Reshape") == usual.pop("Reshape") + 2 * SMALL.decoder_layers
    # the mask is repeated, once for all layers
    assert counts.pop("Concat") == usual.pop("Concat", 0) + 1
    assert counts == usual


def test_promise_counts_what_is_left(small_core: CoreModel) -> None:
    reason = GqaToDecomposed("static").ensures(small_core.part("decoder"))
    assert reason == "2 GroupQueryAttention nodes are left"
