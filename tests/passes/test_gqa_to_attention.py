"""GroupQueryAttention becomes ai.onnx Attention over a static or a growing cache."""

from typing import Literal

import msgspec
import onnx
import onnx_ir as ir
import pytest

from tests.makers import SMALL, weights
from tests.passes.forms import MadeCheckpoint
from whisperopt.graph.core import CoreModel
from whisperopt.graph.inference import inferred
from whisperopt.passes.gqa import GqaToAttention
from whisperopt.passes.mha import MhaToAttention
from whisperopt.passes.rewrite import nodes, run

Own = Literal["static", "concat"]
CACHES: tuple[Own, ...] = ("static", "concat")


@pytest.mark.parametrize("cache", CACHES)
def test_only_standard_operators_of_opset_23_are_left(cache: Own, small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [MhaToAttention(), GqaToAttention(cache)])
    assert {node.domain for node in model.graph} == {""}
    assert len(nodes(model, "Attention")) == 2 * SMALL.decoder_layers
    assert (model.opset_imports[""], model.ir_version) == (23, 11)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


@pytest.mark.parametrize("cache", CACHES)
def test_mask_is_explicit_whole_and_drawn_once(cache: Own, small_core: CoreModel) -> None:
    model = inferred(run(small_core.part("decoder"), [GqaToAttention(cache)]))
    found = nodes(model, "Attention")
    assert all(set(node.attributes) == {"scale"} for node in found)
    (mask,) = {node.inputs[3] for node in found}
    assert mask.dtype is ir.DataType.FLOAT
    ones, (queries, slots) = list(mask.shape)[:2], list(mask.shape)[2:]
    assert ones == [1, 1]
    assert queries != 1  # a mask that is broadcast along the queries is read wrongly
    assert slots == SMALL.text_context if cache == "static" else slots != 1


def test_growing_cache_goes_through_the_operator(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [GqaToAttention("concat")])
    inputs = {value.name: str(value.shape) for value in model.graph.inputs}
    assert "past_sequence_length" not in inputs
    assert inputs["past_key_self_0"] == "[batch,4,past,16]"
    for index, node in enumerate(nodes(model, "Attention")):
        pasts = [f"past_{word}_self_{index}" for word in ("key", "value")]
        presents = [f"present_{word}_self_{index}" for word in ("key", "value")]
        assert [value.name for value in node.inputs[4:]] == pasts
        assert [value.name for value in node.outputs[1:]] == presents


def test_static_cache_is_updated_before_the_operator(small_core: CoreModel) -> None:
    def signature(model):
        values = [*model.graph.inputs, *model.graph.outputs]
        return [(value.name, value.dtype, str(value.shape)) for value in values]

    model = run(small_core.part("decoder"), [GqaToAttention("static")])
    assert signature(model) == signature(small_core.part("decoder"))
    for index, node in enumerate(nodes(model, "Attention")):
        assert len(node.outputs) == 1
        assert len(node.inputs) == 4
        presents = [f"present_{word}_self_{index}" for word in ("key", "value")]
        assert [value.name for value in node.inputs[1:3]] == presents
        assert {value.producer().op_type for value in node.inputs[1:3]} == {"Where"}


@pytest.mark.parametrize("cache", CACHES)
def test_fewer_key_heads_need_no_further_operator(cache: Own, small_core: CoreModel) -> None:
    dims = msgspec.structs.replace(SMALL, decoder_kv_heads=2)
    core = CoreModel(MadeCheckpoint(dims, weights(dims)))
    model = inferred(run(core.part("decoder"), [GqaToAttention(cache)]))
    plain = run(small_core.part("decoder"), [GqaToAttention(cache)])
    assert [node.op_type for node in model.graph] == [node.op_type for node in plain.graph]
    for node in nodes(model, "Attention"):
        assert [value.shape[1] for value in node.inputs[:3]] == [4, 2, 2]


def test_promise_counts_what_is_left(small_core: CoreModel) -> None:
    reason = GqaToAttention("static").ensures(small_core.part("decoder"))
    assert reason == "2 GroupQueryAttention nodes are left"
