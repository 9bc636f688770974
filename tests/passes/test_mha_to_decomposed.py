"""MultiHeadAttention becomes MatMul, Softmax, MatMul."""

import numpy as np
import pytest

from tests.makers import SMALL
from tests.passes import forms
from whisperopt.graph.core import CoreModel
from whisperopt.passes.gqa import GqaToMha
from whisperopt.passes.mha import MhaToDecomposed
from whisperopt.passes.quantization.blocks import GroupInt8
from whisperopt.passes.rewrite import PassError, nodes, run


def test_encoder_keeps_only_standard_operators(small_core: CoreModel) -> None:
    before = forms.operators(small_core.part("encoder"))
    after = forms.operators(run(small_core.part("encoder"), [MhaToDecomposed()]))
    layers = before["com.microsoft.MultiHeadAttention"]
    assert "com.microsoft.MultiHeadAttention" not in after
    assert after["Softmax"] == layers == SMALL.encoder_layers
    assert after["MatMul"] == before["MatMul"] + 2 * layers


def test_cached_keys_are_not_split_again(small_core: CoreModel) -> None:
    before = forms.operators(small_core.part("decoder"))
    after = forms.operators(run(small_core.part("decoder"), [MhaToDecomposed()]))
    # the query in, the mixture out
    assert after["Reshape"] - before.get("Reshape", 0) == 2 * SMALL.decoder_layers


def test_self_attention_is_left_alone(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [MhaToDecomposed()])
    assert len(nodes(model, "GroupQueryAttention")) == SMALL.decoder_layers


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_scale_moves_into_the_weights_of_the_query(part, small_core: CoreModel) -> None:
    before = small_core.part(part).graph.initializers
    after = run(small_core.part(part), [MhaToDecomposed()]).graph.initializers
    stem = f"{part}.layers.0.{'self' if part == 'encoder' else 'encoder'}_attn"
    for name, factor in ((f"{stem}.q_proj.weight", 0.25), (f"{stem}.q_proj.bias", 0.25)):
        expected = before[name].const_value.numpy() * np.float32(factor)
        np.testing.assert_array_equal(after[name].const_value.numpy(), expected)


def test_attention_with_a_cache_is_refused_by_name(small_core: CoreModel) -> None:
    with pytest.raises(PassError, match=r"after GqaToMha: .*self_attn.* more than q, k and v"):
        run(small_core.part("decoder"), [GqaToMha(), MhaToDecomposed()])


def test_query_whose_weights_were_rounded_before_is_refused(small_core: CoreModel) -> None:
    model = small_core.part("encoder")
    with pytest.raises(PassError, match=r"after GroupInt8: encoder\.layers\.0.* take the scale"):
        run(model, [GroupInt8(), MhaToDecomposed()])


def test_promise_counts_what_is_left(small_core: CoreModel) -> None:
    reason = MhaToDecomposed().ensures(small_core.part("encoder"))
    assert reason == "2 MultiHeadAttention nodes are left"
