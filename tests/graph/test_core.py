"""The core model's signature, its attention nodes, and the sizes that it can be authored in."""

import re
from typing import Any

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import CORE, DECOMPOSED, MadeCheckpoint, form
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.passes.rewrite import PassError, nodes
from whisperopt.whisper import Dimensions

ODD = msgspec.structs.replace(
    SMALL, mels=128, vocabulary=323, encoder_layers=3, decoder_layers=1, audio_context=24
)
"""128 mels, fewer decoder than encoder layers, a vocabulary that nothing divides."""


def resized(**changes: Any) -> Dimensions:
    """Return the small sizes with some changed."""
    return msgspec.structs.replace(SMALL, **changes)


def signature(values) -> dict[str, str]:
    """Return type and shape by name."""
    return {value.name: f"{value.dtype.name}{value.shape}" for value in values}


def simulate(dims: Dimensions, made, tmp_path, recipe=CORE, batch: int = 2) -> forms.Run:
    """Run one form of a made-up model: a prefill of three tokens, three steps."""
    session = forms.open_session(forms.write(MadeCheckpoint(dims, made), recipe, tmp_path))
    features = forms.speech_like(dims, batch=batch)
    prompt = forms.random_tokens(dims, batch=batch, length=3)
    return forms.run(session, features, prompt, forms.random_tokens(dims, batch=batch, length=3))


def test_encoder_has_the_names_that_others_rely_on(small_core: CoreModel) -> None:
    graph = small_core.part("encoder").graph
    assert signature(graph.inputs) == {"audio_features": "FLOAT[batch,8,frames]"}
    cross = {
        f"present_{word}_cross_{index}": "FLOAT[batch,4,context,16]"
        for index in (0, 1)
        for word in ("key", "value")
    }
    assert signature(graph.outputs) == {"hidden_states": "FLOAT[batch,context,64]"} | cross
    assert list(signature(graph.outputs))[1:] == list(cross)


def test_decoder_has_the_names_that_others_rely_on(small_core: CoreModel) -> None:
    graph = small_core.part("decoder").graph
    inputs = signature(graph.inputs)
    assert inputs.pop("input_ids") == "INT32[batch,sequence]"
    assert inputs.pop("past_sequence_length") == "INT32[1]"
    assert inputs.pop("past_key_self_1") == "FLOAT[batch,4,32,16]"
    assert inputs.pop("past_value_cross_0") == "FLOAT[batch,4,context,16]"
    rest = ["key_self_0", "value_self_0", "value_self_1"]
    rest += ["key_cross_0", "key_cross_1", "value_cross_1"]
    assert list(inputs) == [f"past_{name}" for name in rest]
    outputs = signature(graph.outputs)
    assert next(iter(outputs)) == "logits"
    assert outputs.pop("logits") == "FLOAT[batch,sequence,320]"
    assert set(outputs.values()) == {"FLOAT[batch,4,32,16]"}
    assert len(outputs) == 2 * SMALL.decoder_layers


def test_no_attention_mask_exists(small_core: CoreModel) -> None:
    values = {v.name for node in small_core.part("decoder").graph for v in node.inputs if v}
    assert not [name for name in values if "mask" in name]


@pytest.mark.parametrize("part", PARTS)
def test_checker_accepts_the_graph(part: Part, small_core: CoreModel) -> None:
    model = small_core.part(part)
    assert (model.ir_version, model.graph.opset_imports) == (10, {"": 20, "com.microsoft": 1})
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_self_attention_is_grouped_query_attention_with_both_presents(
    small_core: CoreModel,
) -> None:
    model = small_core.part("decoder")
    found = nodes(model, "GroupQueryAttention")
    assert len(found) == SMALL.decoder_layers
    for index, node in enumerate(found):
        assert node.domain == "com.microsoft"
        assert set(node.attributes) == {"num_heads", "kv_num_heads", "scale"}
        assert node.attributes["scale"].as_float() == 1
        assert len(node.inputs) == 7
        assert all(value is not None for value in node.inputs)
        presents = [f"present_{word}_self_{index}" for word in ("key", "value")]
        assert [value.name for value in node.outputs[1:]] == presents
        assert set(node.outputs[1:]) <= set(model.graph.outputs)


@pytest.mark.parametrize("part", PARTS)
def test_only_queries_bear_the_scale_of_their_attention(part: Part, small_core: CoreModel) -> None:
    drawn, turned = small_core.part(part).graph.initializers, 0
    for name in small_core.checkpoint.names():
        if name in drawn and name.endswith(("_proj.weight", "_proj.bias")):
            stored = small_core.checkpoint.tensor(name).T
            factor = np.float32(0.25 if ".q_proj." in name else 1)
            np.testing.assert_array_equal(drawn[name].const_value.numpy(), stored * factor)
            turned += ".q_proj." in name
    assert turned == (4 if part == "encoder" else 8)


def test_lengths_are_derived_in_the_graph(small_core: CoreModel) -> None:
    model = small_core.part("decoder")
    found = nodes(model, "GroupQueryAttention")
    ((seqlens, total),) = {node.inputs[5:7] for node in found}
    assert (seqlens.name, total.name) == ("seqlens_k_out0", "total_sequence_length_out0")
    proto = onnx.shape_inference.infer_shapes(ir.to_proto(model), data_prop=True)
    inferred = {value.name: value.type.tensor_type for value in proto.graph.value_info}
    assert len(inferred[total.name].shape.dim) == 0
    assert len(inferred[seqlens.name].shape.dim) == 1
    int32 = onnx.TensorProto.INT32
    assert inferred[total.name].elem_type == inferred[seqlens.name].elem_type == int32


@pytest.mark.parametrize("part", PARTS)
def test_bidirectional_attention_is_never_grouped_or_causal(
    part: Part, small_core: CoreModel
) -> None:
    found = nodes(small_core.part(part), "MultiHeadAttention")
    assert len(found) == (SMALL.encoder_layers if part == "encoder" else SMALL.decoder_layers)
    assert all(set(node.attributes) == {"num_heads", "scale"} for node in found)
    assert part == "decoder" or not nodes(small_core.part(part), "GroupQueryAttention")


def test_authoring_twice_gives_two_models(small_core: CoreModel) -> None:
    first, second = small_core.part("decoder"), small_core.part("decoder")
    assert first is not second
    assert forms.serialized(first) == forms.serialized(second)


def test_odd_sizes_run_and_are_rewritten_alike(tmp_path) -> None:
    made = weights(ODD)
    expected = simulate(ODD, made, tmp_path / "core")
    assert expected.hidden.shape == (2, 24, 64)
    assert [step.shape for step in expected.logits] == [(2, 3, 323), *[(2, 1, 323)] * 3]
    for cache in ("static", "concat"):
        recipe = form(DECOMPOSED, cache=cache)
        found = simulate(ODD, made, tmp_path / cache, recipe)
        assert forms.largest_error(found, expected) < 1e-5


def test_heads_of_the_encoder_may_differ_from_the_decoders(tmp_path) -> None:
    dims = resized(encoder_heads=8)
    checkpoint = MadeCheckpoint(dims, weights(dims))
    model = CoreModel(checkpoint).part("encoder")
    name = "encoder.layers.1.self_attn.q_proj.bias"
    drawn = model.graph.initializers[name].const_value
    np.testing.assert_allclose(drawn.numpy(), checkpoint.tensor(name) * 8**-0.5, rtol=1e-6)
    assert str(model.graph.outputs[1].shape) == "[batch,4,context,16]"


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_shared_key_value_heads_equal_copies_of_them(kv_heads: int, tmp_path) -> None:
    dims = resized(decoder_kv_heads=kv_heads)
    made = weights(dims)
    copies = dims.decoder_heads // kv_heads

    def copied(name, array):
        if not re.search(r"decoder\..*\.self_attn\.[kv]_proj", name):
            return array
        heads = array.reshape(kv_heads, dims.head_size, -1)
        return np.repeat(heads, copies, axis=0).reshape(dims.width, *array.shape[1:])

    full = {name: copied(name, array) for name, array in made.items()}
    expected = simulate(SMALL, full, tmp_path / "full")
    found = simulate(dims, made, tmp_path / "shared")
    assert forms.largest_error(found, expected) < 1e-5


def test_shared_key_value_heads_have_no_form_of_multi_head_attention(tmp_path) -> None:
    dims = resized(decoder_kv_heads=2)
    recipe = form(self_attention="mha", cache="concat")
    with pytest.raises(PassError, match="shares 2 key/value heads among 4 heads"):
        forms.write(MadeCheckpoint(dims, weights(dims)), recipe, tmp_path)


def test_key_biases_are_taken_and_change_nothing(tmp_path) -> None:
    made = weights(SMALL)
    zeros = np.zeros(SMALL.width, np.float32)
    keys = [name.replace(".weight", ".bias") for name in made if name.endswith("k_proj.weight")]
    plain = simulate(SMALL, made, tmp_path / "plain")
    zero = simulate(SMALL, made | dict.fromkeys(keys, zeros), tmp_path / "zero")
    assert forms.largest_error(zero, plain) < 1e-6
    ones = simulate(SMALL, made | dict.fromkeys(keys, zeros + 1), tmp_path / "ones")
    # softmax forgets what all scores of a query have in common
    assert forms.largest_error(ones, plain) < 1e-5
    encoder = CoreModel(MadeCheckpoint(SMALL, made | dict.fromkeys(keys, zeros))).part("encoder")
    assert set(encoder.graph.initializers) > {name for name in keys if "encoder.layers" in name}


def test_untied_output_projection_is_used(tmp_path) -> None:
    made = weights(SMALL)
    expected = simulate(SMALL, made, tmp_path / "tied")
    table = made["decoder.embed_tokens.weight"]
    same = simulate(SMALL, made | {"proj_out.weight": table}, tmp_path / "same")
    assert forms.largest_error(same, expected) == 0
    twice = simulate(SMALL, made | {"proj_out.weight": 2 * table}, tmp_path / "twice")
    for found, tied in zip(twice.logits, expected.logits, strict=True):
        np.testing.assert_allclose(found, 2 * tied, rtol=1e-5, atol=1e-5)


def test_shorter_audio_context_uses_the_first_positions(small_session) -> None:
    features = forms.speech_like(SMALL, batch=1)[:, :, :24]
    decoder = small_session.encode(features)
    assert decoder.hidden_states().shape == (1, 12, 64)
    assert np.isfinite(decoder.step(np.array([[1, 2]], np.int32))).all()


def test_weight_of_another_shape_is_an_error_that_names_it(tmp_path) -> None:
    made = weights(SMALL)
    made["encoder.layers.0.fc1.weight"] = np.zeros((3, 3), np.float32)
    with pytest.raises(ValueError, match=r"encoder\.layers\.0\.fc1\.weight has shape \(3, 3\)"):
        forms.write(MadeCheckpoint(SMALL, made), CORE, tmp_path)
