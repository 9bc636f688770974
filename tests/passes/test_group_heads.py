"""Key/value heads of the decoder's self-attention become the means of neighbours."""

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import pytest

from tests.makers import SMALL, Weights, weights
from tests.passes import forms
from tests.passes.forms import CORE, MadeCheckpoint, form
from tests.passes.test_equivalence import SHARING
from whisperopt.backend import Recipe
from whisperopt.graph.core import CoreModel
from whisperopt.passes.group_heads import GroupHeads
from whisperopt.passes.plan import passes_for
from whisperopt.passes.rewrite import PassError, nodes, run


def pooled(made: Weights, groups: int) -> Weights:
    """Average neighbouring key/value heads of the decoder's self-attention, stored [out, in]."""
    result = dict(made)
    for name, array in made.items():
        if name.startswith("decoder") and any(f"self_attn.{p}_proj" in name for p in "kv"):
            heads = np.split(array, SMALL.decoder_heads)
            size = SMALL.decoder_heads // groups
            means = [sum(heads[i : i + size]) / size for i in range(0, len(heads), size)]
            result[name] = np.concatenate(means).astype(np.float32)
    return result


@pytest.fixture(params=[1, 2])
def groups(request: pytest.FixtureRequest) -> int:
    """How many key/value heads of four are left."""
    return int(request.param)


@pytest.mark.parametrize("recipe", SHARING, ids=[recipe.name for recipe in SHARING])
def test_pooled_model_is_that_of_pooled_weights(recipe: Recipe, groups: int, tmp_path) -> None:
    made = weights(SMALL)
    dims = msgspec.structs.replace(SMALL, decoder_kv_heads=groups)
    by_hand = forms.write(MadeCheckpoint(dims, pooled(made, groups)), CORE, tmp_path / "hand")
    asked = form(recipe, kv_heads=groups)
    by_pass = forms.write(MadeCheckpoint(SMALL, made), asked, tmp_path / "pass")
    assert by_pass.manifest.dims == by_hand.manifest.dims
    runs = []
    for variant in (by_pass, by_hand):
        features = forms.speech_like(dims, batch=2)
        tokens = [forms.random_tokens(dims, batch=2, length=3, seed=seed) for seed in (1, 2)]
        runs.append(forms.run(forms.open_session(variant), features, *tokens))
    assert forms.largest_error(*runs) < 1e-5


def test_pooling_is_not_lossless(small_session, tmp_path) -> None:
    asked = form(kv_heads=2)
    variant = forms.write(MadeCheckpoint(SMALL, weights(SMALL)), asked, tmp_path)
    tokens = forms.random_tokens(SMALL, batch=1, length=3)
    features = forms.speech_like(SMALL, batch=1)
    runs = [
        forms.run(s, features, tokens, tokens)
        for s in (forms.open_session(variant), small_session)
    ]
    assert forms.largest_error(*runs) > 1e-3


def test_heads_caches_and_weights_shrink_together(groups: int, small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [GroupHeads(groups)])
    for node in nodes(model, "GroupQueryAttention"):
        assert node.attributes["kv_num_heads"].as_int() == groups
        assert node.attributes["num_heads"].as_int() == SMALL.decoder_heads
    graph = model.graph
    for value in (*graph.inputs, *graph.outputs):
        if "_self_" in value.name:
            assert str(value.shape) == f"[batch,{groups},32,16]"
        elif "_cross_" in value.name:
            assert str(value.shape) == "[batch,4,context,16]"
    stem = "decoder.layers.1.self_attn"
    for name, shape in (
        (f"{stem}.k_proj.weight", (64, 16 * groups)),
        (f"{stem}.v_proj.bias", (16 * groups,)),
        (f"{stem}.q_proj.weight", (64, 64)),
        ("decoder.layers.1.encoder_attn.q_proj.weight", (64, 64)),
    ):
        value = graph.initializers[name]
        assert tuple(value.shape) == value.const_value.numpy().shape == shape
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_weights_are_read_when_they_are_written(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [GroupHeads(2)])
    name = "decoder.layers.0.self_attn.k_proj.weight"
    assert isinstance(model.graph.initializers[name].const_value, ir.LazyTensor)


def test_as_many_heads_as_there_are_change_nothing(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [GroupHeads(SMALL.decoder_heads)])
    assert forms.serialized(model) == forms.serialized(small_core.part("decoder"))


def test_checkpoint_of_fewer_heads_is_pooled_further() -> None:
    dims = msgspec.structs.replace(SMALL, decoder_kv_heads=2)
    made = weights(dims)
    model = run(CoreModel(MadeCheckpoint(dims, made)).part("decoder"), [GroupHeads(1)])
    name = "decoder.layers.0.self_attn.v_proj.bias"
    expected = made[name].reshape(2, 16).mean(axis=0)
    found = model.graph.initializers[name].const_value.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("kv_heads", [0, 3, 8])
def test_number_that_does_not_divide_the_heads_is_refused(
    kv_heads: int, small_core: CoreModel
) -> None:
    reason = f"attention has 4 key/value heads, not a multiple of {kv_heads}"
    with pytest.raises(PassError, match=rf"decoder\.layers\.0\.self_attn/{reason}"):
        run(small_core.part("decoder"), passes_for(form(kv_heads=kv_heads), "decoder"))


def test_keys_of_no_linear_layer_are_refused(small_core: CoreModel) -> None:
    model = small_core.part("decoder")
    node = nodes(model, "GroupQueryAttention")[1]
    node.replace_input_with(2, node.inputs[1])
    with pytest.raises(PassError, match=r"layers\.1\.self_attn.* no linear layer of their own"):
        run(model, [GroupHeads(2)])


def test_promise_names_what_is_left(small_core: CoreModel) -> None:
    reason = GroupHeads(2).ensures(small_core.part("decoder"))
    assert reason == "decoder.layers.0.self_attn/attention still has 4 key/value heads"
