"""MultiHeadAttention becomes MatMul, Softmax, MatMul."""

import pytest

from tests.makers import SMALL
from tests.passes import forms
from whisperopt.graph.core import CoreModel
from whisperopt.passes.gqa import GqaToMha
from whisperopt.passes.mha import MhaToDecomposed
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


def test_attention_with_a_cache_is_refused_by_name(small_core: CoreModel) -> None:
    with pytest.raises(PassError, match=r"after GqaToMha: .*self_attn.* more than q, k and v"):
        run(small_core.part("decoder"), [GqaToMha(), MhaToDecomposed()])


def test_promise_counts_what_is_left(small_core: CoreModel) -> None:
    reason = MhaToDecomposed().ensures(small_core.part("encoder"))
    assert reason == "2 MultiHeadAttention nodes are left"
