"""Products by weights are found in both forms, and their weights are rounded block by block."""

import msgspec
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.makers import SMALL, weights
from tests.passes.forms import MadeCheckpoint
from whisperopt.graph.canvas import Canvas, graph_input
from whisperopt.graph.core import CoreModel
from whisperopt.passes.quantization.blocks import BlockInt8, GroupInt8
from whisperopt.passes.quantization.weights import BLOCK, Product, none_float, products, scales
from whisperopt.passes.rewrite import PassError, run

FLOAT = ir.DataType.FLOAT


def product(array: np.ndarray, *, transposed: bool = False) -> Product:
    """Return the only product x W of a graph."""
    canvas = Canvas()
    x = graph_input("x", FLOAT, ["batch", array.shape[1 if transposed else 0]])
    weight = canvas.constant("w", array)
    if transposed:
        weight = canvas.op("Transpose", weight, perm=[1, 0])
    model = canvas.model("made", [x], [canvas.op("MatMul", x, weight)])
    (found,) = products(model)
    return found


@given(arrays(np.int32, (2, 3 * BLOCK), elements=st.integers(-(10**6), 10**6)))
def test_rounding_is_at_most_half_a_step(numbers) -> None:
    found = product((numbers / 7).astype(np.float32), transposed=True)
    blocks = found.read()
    step = scales(blocks).astype(np.float64)
    assert (np.abs(found.rounded() * step - blocks) <= 0.5001 * step).all()
    assert np.abs(found.rounded().astype(np.int16)).max() <= 127


def test_both_forms_mean_the_same_blocks() -> None:
    array = np.random.default_rng(0).standard_normal((2 * BLOCK, 5)).astype(np.float32)
    plain, turned = product(array), product(np.ascontiguousarray(array.T), transposed=True)
    assert not plain.transposed
    assert turned.transposed
    for found in (plain, turned):
        assert (found.channels, found.columns, found.blocks) == (2 * BLOCK, 5, 2)
    np.testing.assert_array_equal(plain.read(), turned.read())
    np.testing.assert_array_equal(plain.read()[3, 1], array[BLOCK:, 3])


def test_unsigned_form_is_centred_on_128() -> None:
    array = np.zeros((BLOCK, 3), np.float32)
    array[:, 1] = np.linspace(-127, 127, BLOCK)
    found = product(array).unsigned()
    assert (found[[0, 2]] == 128).all()
    assert (found[1, 0, 0], found[1, 0, -1]) == (1, 255)


def test_block_of_zeros_has_a_scale_that_divides() -> None:
    assert (scales(np.zeros((2, 2, BLOCK), np.float32)) == 1).all()


def test_scales_are_added_by_the_name_of_the_weight() -> None:
    canvas = Canvas()
    array = np.full((BLOCK, 4), 254, np.float32)
    value = product(array).add_scales(canvas, 1)
    assert value.name == "w_scales"
    np.testing.assert_array_equal(value.const_value.numpy(), np.full((4, 1, 1), 2, np.float32))


@pytest.mark.parametrize("step", [BlockInt8(), GroupInt8()], ids=["block", "group"])
def test_channels_that_blocks_do_not_divide_are_refused_by_name(step) -> None:
    dims = msgspec.structs.replace(SMALL, encoder_ffn=72)
    model = CoreModel(MadeCheckpoint(dims, weights(dims))).part("encoder")
    with pytest.raises(PassError, match=r"encoder\.layers\.0\.fc2/MatMul has 72 input channels"):
        run(model, [step])


def test_promise_names_the_first_weight_left(small_core: CoreModel) -> None:
    reason = none_float(small_core.part("encoder"))
    assert reason == "encoder.layers.0.self_attn.q_proj/MatMul still has a float weight"
