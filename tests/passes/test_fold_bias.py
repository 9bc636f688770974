"""Biases behind products that are rounded while the graph runs become their input."""

import onnx_ir as ir

from tests.passes import forms
from whisperopt.graph.core import CoreModel
from whisperopt.passes.quantization.dynamic import DynamicInt8, FoldBias
from whisperopt.passes.rewrite import nodes, run


def folded(core: CoreModel) -> ir.Model:
    """The encoder in whole numbers, its biases folded."""
    return run(core.part("encoder"), [DynamicInt8(), FoldBias()])


def test_every_bias_is_an_input_of_the_product_of_its_name(small_core: CoreModel) -> None:
    biased = 0
    for node in nodes(folded(small_core), "DynamicQuantizeMatMul"):
        stem = node.inputs[1].name.removesuffix(".weight_int8")
        if len(node.inputs) > 4:
            assert node.inputs[4].name == f"{stem}.bias"
            biased += 1
        else:
            assert stem.endswith("k_proj")
    assert biased


def test_only_sums_of_two_activations_are_left(small_core: CoreModel) -> None:
    before = forms.operators(run(small_core.part("encoder"), [DynamicInt8()]))
    model = folded(small_core)
    biased = sum(len(n.inputs) > 4 for n in nodes(model, "DynamicQuantizeMatMul"))
    assert forms.operators(model)["Add"] == before["Add"] - biased


def test_a_product_whose_sum_is_not_its_only_use_is_left_alone(small_core: CoreModel) -> None:
    model = run(small_core.part("encoder"), [DynamicInt8()])
    node = next(n for n in nodes(model, "DynamicQuantizeMatMul") if "fc1" in n.inputs[1].name)
    extra = ir.node("Identity", [node.outputs[0]])
    model.graph.append(extra)
    model.graph.outputs.append(extra.outputs[0])
    FoldBias().apply(model)
    assert len(node.inputs) == 4


def test_where_nothing_is_rounded_nothing_changes(small_core: CoreModel) -> None:
    before = forms.operators(small_core.part("encoder"))
    assert forms.operators(run(small_core.part("encoder"), [FoldBias()])) == before
