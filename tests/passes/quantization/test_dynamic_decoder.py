"""The decoder in whole numbers: all but what needs finer rounding, and one table of words."""

import numpy as np
import onnx_ir as ir

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import MadeCheckpoint
from whisperopt.graph.core import CoreModel
from whisperopt.passes.quantization.blocks import BlockInt8
from whisperopt.passes.quantization.dynamic import DynamicDecoder, FoldBias
from whisperopt.passes.rewrite import nodes, run
from whisperopt.static_checks.weights import unpacking

TABLE = "decoder.embed_tokens.weight"


def rounded(core: CoreModel) -> ir.Model:
    """The decoder as recipes ask for it."""
    return run(core.part("decoder"), [DynamicDecoder(), FoldBias(), BlockInt8()])


def test_only_what_follows_a_gelu_is_left_for_blocks(small_core: CoreModel) -> None:
    model = rounded(small_core)
    assert not nodes(model, "MatMul") or all(
        node.inputs[1].const_value is None for node in nodes(model, "MatMul")
    )
    blocks = [node.inputs[1].name for node in nodes(model, "MatMulNBits")]
    assert blocks == [
        f"decoder.layers.{layer}.fc2.weight_int8" for layer in range(SMALL.decoder_layers)
    ]


def test_words_are_columns_of_the_table_that_logits_are_computed_with(
    small_core: CoreModel,
) -> None:
    model = rounded(small_core)
    (logits,) = (
        node for node in nodes(model, "DynamicQuantizeMatMul") if node.outputs[0].name == "logits"
    )
    table = logits.inputs[1]
    taken = [node for node in nodes(model, "Gather") if node.inputs[0] is table]
    assert len(taken) == 1
    assert unpacking.words(taken[0])[1] is logits.inputs[2]
    assert TABLE not in model.graph.initializers
    numbers, scales = (value.const_value.numpy() for value in logits.inputs[1:3])
    assert numbers.shape == (SMALL.width, SMALL.vocabulary)
    expected = small_core.checkpoint.tensor(TABLE)
    assert (np.abs((numbers * scales).T - expected) <= scales[:, None] * 0.5001).all()


def test_untied_output_leaves_the_embedding_alone() -> None:
    checkpoint = MadeCheckpoint(SMALL, weights(SMALL, tied=False))
    model = rounded(CoreModel(checkpoint))
    assert model.graph.initializers[TABLE].dtype == ir.DataType.FLOAT
    assert "proj_out.weight_int8" in model.graph.initializers


def test_every_bias_is_folded(small_core: CoreModel) -> None:
    assert FoldBias().ensures(rounded(small_core)) is None
    plain = forms.operators(small_core.part("decoder"))
    assert forms.operators(rounded(small_core))["Add"] < plain["Add"]


def test_words_whose_scales_are_taken_elsewhere_are_not_recognized(
    small_core: CoreModel,
) -> None:
    model = rounded(small_core)
    taken = next(node for node in nodes(model, "Gather") if unpacking.words(node))
    product, _ = unpacking.words(taken)
    spread = next(v.producer() for v in product.inputs if v.producer().op_type == "Unsqueeze")
    spread.inputs[0].producer().replace_input_with(1, model.graph.inputs[1])
    assert unpacking.words(taken) is None
