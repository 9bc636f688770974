"""Single precision becomes half precision, inputs and outputs included."""

from typing import Literal

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from tests.makers import SMALL, weights
from tests.passes.forms import MadeCheckpoint
from whisperopt.graph.canvas import Canvas, graph_input, typed
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.passes.half import Half
from whisperopt.passes.rewrite import PassError, nodes, run

FLOAT, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("part", PARTS)
def test_no_single_precision_is_left(
    part: Part, precision: Literal["fp16", "bf16"], small_core: CoreModel
) -> None:
    model = run(small_core.part(part), [Half(precision)])
    values = [*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()]
    values += [output for node in model.graph for output in node.outputs]
    assert FLOAT not in {value.dtype for value in values}
    stored = [value.const_value for value in model.graph.initializers.values()]
    assert all(tensor.dtype == ir.tensor(tensor.numpy()).dtype for tensor in stored)


@pytest.mark.parametrize("part", PARTS)
def test_checker_accepts_bfloat16_from_opset_22(part: Part, small_core: CoreModel) -> None:
    model = run(small_core.part(part), [Half("bf16")])
    assert model.graph.opset_imports[""] == 22
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_bfloat16_keeps_the_range_and_rounds_the_rest() -> None:
    made = weights(SMALL)
    name = "encoder.layers.0.fc1.bias"
    made[name][:3] = [1e30, 1 + 2**-9, 1 + 2**-7]
    model = run(CoreModel(MadeCheckpoint(SMALL, made)).part("encoder"), [Half("bf16")])
    stored = model.graph.initializers[name].const_value.numpy()[:3].astype(np.float32)
    np.testing.assert_allclose(stored, [1e30, 1, 1 + 2**-7], rtol=2**-8)
    assert stored.tolist()[1:] == [1, 1 + 2**-7]


def test_lengths_and_ids_stay_integers(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [Half("fp16")])
    types = {value.name: value.dtype for value in model.graph.inputs}
    assert types["input_ids"] == types["past_sequence_length"] == ir.DataType.INT32
    assert types["past_key_self_0"] == types["past_value_cross_1"] == HALF


def test_weights_are_rounded_to_the_nearest(small_core: CoreModel) -> None:
    name = "decoder.embed_tokens.weight"
    before = small_core.part("decoder").graph.initializers[name].const_value.numpy()
    after = run(small_core.part("decoder"), [Half("fp16")]).graph.initializers[name].const_value
    np.testing.assert_array_equal(after.numpy(), before.astype(np.float16))


def test_layer_normalization_computes_in_single_precision(small_core: CoreModel) -> None:
    for node in nodes(run(small_core.part("encoder"), [Half("fp16")]), "LayerNormalization"):
        assert "stash_type" not in node.attributes or node.attributes["stash_type"].as_int() == 1


def test_cast_to_single_precision_is_refused_by_name() -> None:
    canvas = Canvas()
    ids = graph_input("ids", ir.DataType.INT32, [1])
    output = canvas.op("Cast", ids, to=int(FLOAT), name="island")
    model = canvas.model("made", [ids], [typed(output, FLOAT, [1])])
    with pytest.raises(PassError, match="island casts to float32"):
        run(model, [Half("fp16")])


def test_promise_names_what_is_left(small_core: CoreModel) -> None:
    reason = Half("fp16").ensures(small_core.part("encoder"))
    assert reason is not None
    assert reason.endswith("is still float32")
