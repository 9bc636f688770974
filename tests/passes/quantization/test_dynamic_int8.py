"""Weights of 7 bits, with activations rounded while the graph runs."""

import numpy as np
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import MadeCheckpoint
from whisperopt.graph.core import CoreModel
from whisperopt.passes.quantization.dynamic import DynamicInt8
from whisperopt.passes.rewrite import PassError, nodes, run


def test_every_product_of_the_encoder_is_rewritten(small_core: CoreModel) -> None:
    before = forms.operators(small_core.part("encoder"))
    after = forms.operators(run(small_core.part("encoder"), [DynamicInt8()]))
    assert after["com.microsoft.DynamicQuantizeMatMul"] == before["MatMul"]
    assert "MatMul" not in after


def test_weights_keep_a_bit_free_against_saturation(small_core: CoreModel) -> None:
    model = run(small_core.part("encoder"), [DynamicInt8()])
    for node in nodes(model, "DynamicQuantizeMatMul"):
        rounded, scales = (value.const_value.numpy() for value in node.inputs[1:3])
        assert rounded.dtype == np.int8
        assert np.abs(rounded.astype(np.int16)).max(axis=0).tolist() == [64] * rounded.shape[1]
        assert scales.shape == rounded.shape[1:]


def test_rounding_is_at_most_half_a_step_of_its_column(small_core: CoreModel) -> None:
    made = run(small_core.part("encoder"), [DynamicInt8()]).graph.initializers
    name = "encoder.layers.0.fc1.weight"
    steps = made[f"{name}_scales"].const_value.numpy()
    restored = made[f"{name}_int8"].const_value.numpy() * steps
    expected = small_core.checkpoint.tensor(name).T
    assert (np.abs(restored - expected) <= steps * 0.5001).all()


def test_column_of_zeros_stays_zero() -> None:
    made = weights(SMALL)
    made["encoder.layers.1.fc2.weight"][5] = 0
    model = run(CoreModel(MadeCheckpoint(SMALL, made)).part("encoder"), [DynamicInt8()])
    stored = model.graph.initializers
    assert not stored["encoder.layers.1.fc2.weight_int8"].const_value.numpy()[:, 5].any()


def test_output_projection_that_shares_the_embedding_is_refused_by_name(
    small_core: CoreModel,
) -> None:
    with pytest.raises(PassError, match="the decoder: logits/MatMul is transposed"):
        run(small_core.part("decoder"), [DynamicInt8()])


def test_promise_names_what_is_left(small_core: CoreModel) -> None:
    reason = DynamicInt8().ensures(small_core.part("encoder"))
    assert reason == "encoder.layers.0.self_attn.q_proj/MatMul still has a float weight"
