"""GroupQueryAttention becomes causal MultiHeadAttention over a growing cache."""

import msgspec
import numpy as np
import onnx_ir as ir
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import MadeCheckpoint
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.canvas import typed
from whisperopt.graph.core import CoreModel
from whisperopt.graph.inference import inferred
from whisperopt.passes.gqa import GqaToMha
from whisperopt.passes.rewrite import PassError, nodes, run


def test_every_self_attention_is_rewritten_and_stays_causal(small_core: CoreModel) -> None:
    before = small_core.part("decoder")
    cross = len(nodes(before, "MultiHeadAttention"))
    scales = [node.attributes["scale"].as_float() for node in nodes(before, "GroupQueryAttention")]
    model = run(before, [GqaToMha()])
    found = [n for n in nodes(model, "MultiHeadAttention") if "unidirectional" in n.attributes]
    assert [node.attributes["scale"].as_float() for node in found] == scales
    assert all(node.attributes["unidirectional"].as_int() == 1 for node in found)
    assert all(node.attributes["num_heads"].as_int() == SMALL.decoder_heads for node in found)
    assert len(nodes(model, "MultiHeadAttention")) == cross + SMALL.decoder_layers
    assert not nodes(model, "GroupQueryAttention")


def test_cache_grows_and_its_length_is_the_past(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [GqaToMha()])
    inputs = {value.name: value for value in model.graph.inputs}
    assert "past_sequence_length" not in inputs
    assert str(inputs["past_key_self_1"].shape) == "[batch,4,past,16]"
    assert str(inputs["past_value_cross_1"].shape) == "[batch,4,context,16]"
    outputs = {value.name: value for value in model.graph.outputs}
    assert str(outputs["present_value_self_0"].shape) == "[batch,4,total,16]"
    assert list(outputs) == [value.name for value in small_core.part("decoder").graph.outputs]


def test_explicit_mask_is_one_bias_for_all_layers_in_every_dimension(
    small_checkpoint: Checkpoint, tmp_path
) -> None:
    recipe = forms.form(self_attention="mha", cache="concat", traits=("explicit-mask",))
    model = ir.load(forms.write(small_checkpoint, recipe, tmp_path).graph("decoder"))
    found = [n for n in nodes(model, "MultiHeadAttention") if len(n.outputs) == 3]
    assert len(found) == SMALL.decoder_layers
    assert not [node for node in found if "unidirectional" in node.attributes]
    (bias,) = {node.inputs[5] for node in found}
    assert bias.producer().op_type == "Expand"
    model.graph.outputs.append(typed(bias, ir.DataType.FLOAT, ["b", "h", "s", "t"]))
    ir.save(model, tmp_path / "decoder.onnx", external_data="watched.data")
    from onnxruntime import InferenceSession

    session = InferenceSession(tmp_path / "decoder.onnx")
    (mask,) = session.run([bias.name], feeds(session, batch=2, new=3, past=4))
    assert mask.shape == (2, SMALL.decoder_heads, 3, 7)
    expected = np.where(np.arange(7) <= np.arange(4, 7)[:, None], 0, -10_000)
    np.testing.assert_array_equal(mask, np.broadcast_to(expected, mask.shape))


def test_explicit_mask_is_known_to_leave_nothing_to_broadcast(small_core: CoreModel) -> None:
    model = inferred(run(small_core.part("decoder"), [GqaToMha(explicit_mask=True)]))
    (bias,) = {n.inputs[5] for n in nodes(model, "MultiHeadAttention") if len(n.inputs) > 5}
    assert bias.shape[1] == SMALL.decoder_heads
    assert len(bias.shape) == 4
    assert 1 not in list(bias.shape)


def feeds(session, *, batch: int, new: int, past: int) -> dict[str, np.ndarray]:
    """Return zeros for every input of a decoder whose caches grow."""
    sizes = {"batch": batch, "sequence": new, "past": past, "context": 5}
    types = {"tensor(float)": np.float32, "tensor(int32)": np.int32}
    return {
        put.name: np.zeros([sizes.get(size, size) for size in put.shape], types[put.type])
        for put in session.get_inputs()
    }


def test_lengths_that_nothing_needs_are_gone(small_core: CoreModel) -> None:
    names = {node.name for node in run(small_core.part("decoder"), [GqaToMha()]).graph}
    assert not {"seqlens_k", "total_sequence_length"} & names


def test_shared_key_value_heads_are_refused_by_name() -> None:
    dims = msgspec.structs.replace(SMALL, decoder_kv_heads=2)
    model = CoreModel(MadeCheckpoint(dims, weights(dims))).part("decoder")
    before = forms.serialized(model)
    with pytest.raises(PassError, match="self_attn/attention shares 2 key/value heads among 4"):
        run(model, [GqaToMha()])
    assert forms.serialized(model) == before


def test_promise_counts_what_is_left(small_core: CoreModel) -> None:
    reason = GqaToMha().ensures(small_core.part("decoder"))
    assert reason == "2 GroupQueryAttention nodes are left"
