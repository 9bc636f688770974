"""Weights in blocks of 32 with one scale each, the tied embedding among them."""

import numpy as np
import onnx_ir as ir
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import MadeCheckpoint
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.passes.quantization.blocks import BlockInt8
from whisperopt.passes.quantization.weights import BLOCK
from whisperopt.passes.rewrite import nodes, run


@pytest.mark.parametrize("part", PARTS)
def test_every_product_by_a_weight_is_rewritten(part: Part, small_core: CoreModel) -> None:
    before = forms.operators(small_core.part(part))
    after = forms.operators(run(small_core.part(part), [BlockInt8()]))
    assert after["com.microsoft.MatMulNBits"] == before["MatMul"]
    assert "MatMul" not in after


def test_weights_become_bytes_and_scales(small_core: CoreModel) -> None:
    model = run(small_core.part("encoder"), [BlockInt8()])
    (node,) = (n for n in nodes(model, "MatMulNBits") if "layers.1.fc1" in n.inputs[1].name)
    quantized, scales = (value.const_value for value in node.inputs[1:3])
    assert (quantized.dtype, scales.dtype) == (ir.DataType.UINT8, ir.DataType.FLOAT)
    width, hidden = SMALL.width, SMALL.encoder_ffn
    assert quantized.numpy().shape == (hidden, width // BLOCK, BLOCK)
    assert scales.numpy().shape == (hidden, width // BLOCK)
    read = {name: node.attributes[name].as_int() for name in ("K", "N", "bits", "accuracy_level")}
    assert read == {"K": width, "N": hidden, "bits": 8, "accuracy_level": 4}
    rows = (quantized.numpy().astype(np.float32) - 128) * scales.numpy()[..., None]
    expected = small_core.checkpoint.tensor("encoder.layers.1.fc1.weight")
    np.testing.assert_allclose(rows.reshape(hidden, width), expected, atol=5e-4)


def test_embedding_and_output_share_one_table(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [BlockInt8()])
    (words,) = nodes(model, "GatherBlockQuantized")
    table = words.inputs[0].producer().inputs[0]
    (logits,) = (n for n in nodes(model, "MatMulNBits") if n.outputs[0].name == "logits")
    assert logits.inputs[1] is table
    assert logits.inputs[2] is words.inputs[2]
    assert "decoder.embed_tokens.weight" not in model.graph.initializers


def test_positions_stay_in_single_precision(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [BlockInt8()])
    (gather,) = nodes(model, "Gather")
    assert gather.inputs[0].name == "decoder.embed_positions.weight"


def test_untied_output_leaves_the_embedding_alone() -> None:
    checkpoint = MadeCheckpoint(SMALL, weights(SMALL, tied=False))
    model = run(CoreModel(checkpoint).part("decoder"), [BlockInt8()])
    assert not nodes(model, "GatherBlockQuantized")
    assert "proj_out.weight_int8" in model.graph.initializers
    assert model.graph.initializers["decoder.embed_tokens.weight"].dtype == ir.DataType.FLOAT


def test_promise_names_what_is_left(small_core: CoreModel) -> None:
    reason = BlockInt8().ensures(small_core.part("encoder"))
    assert reason == "encoder.layers.0.self_attn.q_proj/MatMul still has a float weight"
