"""Weights in blocks as standard operators: a cast, a product with the scales, a new shape."""

import numpy as np
import onnx_ir as ir
import pytest

from tests.makers import SMALL
from tests.passes import forms
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.passes.half import Half
from whisperopt.passes.quantization.blocks import GroupInt8
from whisperopt.passes.quantization.weights import BLOCK
from whisperopt.passes.rewrite import PassError, nodes, run


@pytest.mark.parametrize("part", PARTS)
def test_products_stay_and_every_weight_is_unpacked(part: Part, small_core: CoreModel) -> None:
    before = small_core.part(part)
    weights = {node.inputs[1].name for node in nodes(before, "MatMul")}
    model = run(small_core.part(part), [GroupInt8()])
    packed = [n for n, v in model.graph.initializers.items() if v.dtype == ir.DataType.INT8]
    assert len(packed) == len(weights) == forms.operators(model)["MatMul"]
    assert {node.domain for node in nodes(model, "Mul")} == {""}
    for name in packed:
        assert model.graph.initializers[name].const_value.numpy().shape[2] == BLOCK


def test_unpacked_weight_is_the_weight(small_core: CoreModel) -> None:
    name = "encoder.layers.1.fc2.weight"
    stored = run(small_core.part("encoder"), [GroupInt8()]).graph.initializers
    packed, scales = (stored[f"{name}_{ending}"].const_value for ending in ("int8", "scales"))
    assert packed.numpy().shape == (SMALL.width, SMALL.encoder_ffn // BLOCK, BLOCK)
    steps = scales.numpy()
    assert steps.shape == (*packed.numpy().shape[:2], 1)
    expected = small_core.checkpoint.tensor(name).reshape(packed.numpy().shape)
    assert (np.abs(packed.numpy() * steps - expected) <= 0.5001 * steps).all()
    assert name not in stored


def test_embedding_and_output_share_one_table(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [GroupInt8()])
    tables = [node.inputs[0] for node in nodes(model, "Gather")]
    (table,) = (value for value in tables if value.producer() is not None)
    assert table.producer().op_type == "Reshape"
    assert str(table.shape) == f"[{SMALL.vocabulary},{SMALL.width}]"
    (output,) = (node for node, _ in table.uses() if node.op_type == "Transpose")
    assert output.outputs[0].uses()[0].node.outputs[0].name == "logits"


def test_compiler_finds_constants_at_both_sides_of_the_product(small_core: CoreModel) -> None:
    for node in nodes(run(small_core.part("decoder"), [GroupInt8()]), "Mul"):
        cast, scales = node.inputs
        assert cast.producer().op_type == "Cast"
        assert cast.producer().inputs[0].const_value is not None
        assert scales.const_value is not None


def test_unpacked_weights_declare_their_type_and_shape(small_core: CoreModel) -> None:
    model = run(small_core.part("encoder"), [GroupInt8()])
    for node in nodes(model, "MatMul"):
        weight = node.inputs[1]
        assert weight.dtype == ir.DataType.FLOAT
        assert len(weight.shape) == 2


def test_half_precision_afterwards_is_refused(small_core: CoreModel) -> None:
    with pytest.raises(PassError, match=r"after GroupInt8: .* casts to float32"):
        run(small_core.part("encoder"), [GroupInt8(), Half("fp16")])


def test_promise_names_what_is_left(small_core: CoreModel) -> None:
    reason = GroupInt8().ensures(small_core.part("decoder"))
    assert reason == "decoder.layers.0.self_attn.q_proj/MatMul still has a float weight"
