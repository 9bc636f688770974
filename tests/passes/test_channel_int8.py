"""Weights with one scale for each output channel, restored by DequantizeLinear."""

import numpy as np
import onnx_ir as ir
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import MadeCheckpoint
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.passes.channel_int8 import ChannelInt8
from whisperopt.passes.rewrite import nodes, run


@pytest.mark.parametrize("part", PARTS)
def test_products_stay_and_every_weight_is_restored(part: Part, small_core: CoreModel) -> None:
    before = forms.operators(small_core.part(part))
    after = forms.operators(run(small_core.part(part), [ChannelInt8()]))
    assert after["DequantizeLinear"] == before["MatMul"] == after["MatMul"]


@pytest.mark.parametrize(
    ("part", "name", "axis"),
    [("encoder", "encoder.layers.1.fc2.weight", 1), ("decoder", "decoder.embed_tokens.weight", 0)],
)
def test_rounding_is_at_most_half_a_step_of_its_channel(
    part: Part, name: str, axis: int, small_core: CoreModel
) -> None:
    expected = small_core.part(part).graph.initializers[name].const_value.numpy()
    made = run(small_core.part(part), [ChannelInt8()]).graph.initializers
    steps = made[f"{name}_scales"].const_value.numpy()
    rounded = made[f"{name}_int8"].const_value.numpy()
    assert rounded.dtype == np.int8
    assert steps.shape == (expected.shape[axis],)
    across = np.expand_dims(steps, 1 - axis)
    assert (np.abs(rounded * across - expected) <= across * 0.5001).all()
    assert name not in made


def test_embedding_is_looked_up_in_the_restored_table(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [ChannelInt8()])
    tables = [node.inputs[0].producer() for node in nodes(model, "Gather")]
    (restored,) = (node for node in tables if node is not None)
    assert restored.op_type == "DequantizeLinear"
    (output,) = (node for node, _ in restored.outputs[0].uses() if node.op_type == "Transpose")
    assert output.outputs[0].uses()[0].node.outputs[0].name == "logits"


def test_channel_of_zeros_stays_zero() -> None:
    made = weights(SMALL)
    made["encoder.layers.0.fc1.weight"][3] = 0
    model = run(CoreModel(MadeCheckpoint(SMALL, made)).part("encoder"), [ChannelInt8()])
    stored = model.graph.initializers
    assert stored["encoder.layers.0.fc1.weight_scales"].const_value.numpy()[3] == 1
    assert not stored["encoder.layers.0.fc1.weight_int8"].const_value.numpy()[:, 3].any()


def test_restored_weights_declare_their_type_and_shape(small_core: CoreModel) -> None:
    for node in nodes(run(small_core.part("encoder"), [ChannelInt8()]), "DequantizeLinear"):
        assert node.outputs[0].dtype == ir.DataType.FLOAT
        assert node.outputs[0].shape == node.inputs[0].shape


def test_nothing_is_required_and_promise_names_what_is_left(small_core: CoreModel) -> None:
    model = small_core.part("decoder")
    assert ChannelInt8().requires(model) is None
    reason = ChannelInt8().ensures(model)
    assert reason == "decoder.layers.0.self_attn.q_proj/MatMul still has a float weight"
