"""MultiHeadAttention becomes ai.onnx Attention over heads that were split beforehand."""

import onnx
import onnx_ir as ir
import pytest

from tests.makers import SMALL
from tests.passes import forms
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.graph.inference import inferred
from whisperopt.passes.gqa import GqaToMha
from whisperopt.passes.mha import MhaToAttention
from whisperopt.passes.rewrite import PassError, nodes, run


@pytest.mark.parametrize("part", PARTS)
def test_every_attention_is_standard_and_says_its_scale(part: Part, small_core: CoreModel) -> None:
    model = run(small_core.part(part), [MhaToAttention()])
    found = nodes(model, "Attention")
    assert len(found) == len(nodes(small_core.part(part), "MultiHeadAttention"))
    for node in found:
        assert node.domain == ""
        assert len(node.outputs) == 1
        assert len(node.inputs) == 3
        assert set(node.attributes) == {"scale"}  # bidirectional unless it says otherwise
        assert node.attributes["scale"].as_float() == 1


@pytest.mark.parametrize("part", PARTS)
def test_all_operands_have_four_dimensions(part: Part, small_core: CoreModel) -> None:
    model = inferred(run(small_core.part(part), [MhaToAttention()]))
    for node in nodes(model, "Attention"):
        assert {len(value.shape) for value in (*node.inputs, *node.outputs)} == {4}


@pytest.mark.parametrize("part", PARTS)
def test_checker_accepts_opset_23(part: Part, small_core: CoreModel) -> None:
    model = run(small_core.part(part), [MhaToAttention()])
    assert (model.opset_imports[""], model.ir_version) == (23, 11)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_cached_keys_are_not_split_again(small_core: CoreModel) -> None:
    before = forms.operators(small_core.part("decoder"))
    after = forms.operators(run(small_core.part("decoder"), [MhaToAttention()]))
    # the query in, the mixture out
    assert after["Reshape"] - before.get("Reshape", 0) == 2 * SMALL.decoder_layers


def test_graph_without_such_attention_keeps_its_opset(small_core: CoreModel) -> None:
    model = run(small_core.part("encoder"), [MhaToAttention()])
    assert model.opset_imports[""] == 23
    plain = ir.Model(ir.Graph([], [], nodes=[], opset_imports={"": 20}), ir_version=10)
    run(plain, [MhaToAttention()])
    assert (plain.opset_imports[""], plain.ir_version) == (20, 10)


def test_attention_with_a_cache_is_refused_by_name(small_core: CoreModel) -> None:
    with pytest.raises(PassError, match=r"after GqaToMha: .*self_attn.* more than q, k and v"):
        run(small_core.part("decoder"), [GqaToMha(), MhaToAttention()])


def test_promise_counts_what_is_left(small_core: CoreModel) -> None:
    reason = MhaToAttention().ensures(small_core.part("encoder"))
    assert reason == "2 MultiHeadAttention nodes are left"
