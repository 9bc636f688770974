"""GroupQueryAttention stays, and its caches may have any length."""

import onnx
import onnx_ir as ir

from tests.makers import SMALL
from tests.passes import forms
from whisperopt.graph.core import CoreModel
from whisperopt.passes.caches import GrowCaches
from whisperopt.passes.rewrite import nodes, run


def test_lengths_of_self_caches_are_free_and_those_of_cross_caches_stay(
    small_core: CoreModel,
) -> None:
    graph = run(small_core.part("decoder"), [GrowCaches()]).graph
    shapes = {value.name: str(value.shape) for value in (*graph.inputs, *graph.outputs)}
    assert shapes["past_key_self_1"] == "[batch,4,past,16]"
    assert shapes["present_value_self_0"] == "[batch,4,total,16]"
    assert shapes["past_key_cross_1"] == "[batch,4,context,16]"
    assert "past_sequence_length" not in shapes


def test_attention_and_its_lengths_stay(small_core: CoreModel) -> None:
    before = forms.operators(small_core.part("decoder"))
    model = run(small_core.part("decoder"), [GrowCaches()])
    after = forms.operators(model)
    # the past's length is read off a cache
    assert after.pop("Shape") == before.pop("Shape") + 1
    assert after.pop("Cast") == before.pop("Cast") + 1
    assert after == before
    found = nodes(model, "GroupQueryAttention")
    assert len(found) == SMALL.decoder_layers
    assert all(None not in node.inputs[:7] for node in found)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_promise_names_the_input_that_is_left(small_core: CoreModel) -> None:
    reason = GrowCaches().ensures(small_core.part("decoder"))
    assert reason == "past_sequence_length is still an input"
