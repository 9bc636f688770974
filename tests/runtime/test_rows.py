"""Rows are picked by a graph that is written without onnx."""

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.passes import forms
from whisperopt.errors import WhisperoptError
from whisperopt.runtime import ort_graph
from whisperopt.runtime.ort import CPU
from whisperopt.runtime.ort_graph import BFLOAT16, FLOAT16, FLOAT32, Element, Rows
from whisperopt.runtime.provider import Provider

ELEMENTS = {"fp32": FLOAT32, "fp16": FLOAT16, "bf16": BFLOAT16}


@pytest.fixture(params=ELEMENTS.values(), ids=ELEMENTS)
def element(request: pytest.FixtureRequest) -> Element:
    found: Element = request.param
    return found


def on_device(element: Element, values: np.ndarray):
    return element.value(element.store(values).copy())


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)


@pytest.mark.parametrize("rank", [3, 4])
def test_the_graph_is_what_onnx_would_write(
    rank: int, element: Element, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bytes] = []
    monkeypatch.setattr(ort_graph, "start", lambda graph, *_, **__: started.append(graph))
    Rows(CPU, element, threads=1)._session(rank)
    rest = [f"d{axis}" for axis in range(1, rank)]
    graph = helper.make_graph(
        [helper.make_node("Gather", ["x", "rows"], ["y"])],
        "rows",
        [
            helper.make_tensor_value_info("x", element.onnx, ["batch", *rest]),
            helper.make_tensor_value_info("rows", onnx.TensorProto.INT32, ["rows"]),
        ],
        [helper.make_tensor_value_info("y", element.onnx, ["rows", *rest])],
    )
    opset = [onnx.OperatorSetIdProto(version=17)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    assert onnx.load_from_string(started[0]) == made


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 2, 7, 4)])
def test_rows_are_picked_with_repeats(shape: tuple[int, ...], element: Element) -> None:
    rows, values = Rows(CPU, element, threads=1), numbers(*shape)
    order = np.array([2, 0, 0], np.int32)
    picked = rows.pick(on_device(element, values), order)
    np.testing.assert_array_equal(
        element.load(rows.read(picked, np.arange(3, dtype=np.int32))), values[order]
    )


def test_rows_can_be_written_to_given_memory(element: Element) -> None:
    rows, values = Rows(CPU, element, threads=1), numbers(2, 2, 3, 4)
    target = element.store(np.zeros_like(values))
    into = element.value(target)
    assert rows.pick(on_device(element, values), np.array([1, 0], np.int32), into) is into
    np.testing.assert_array_equal(element.load(target), values[::-1])


def test_another_provider_may_move_the_rows() -> None:
    provider = Provider(name="QNNExecutionProvider", device="cpu", mover=CPU.name)
    rows, values = Rows(provider, FLOAT32, threads=1), numbers(2, 3, 4)
    found = rows.read(on_device(FLOAT32, values), np.array([1], np.int32))
    np.testing.assert_array_equal(found, values[1:])


def test_options_for_a_models_graphs_do_not_reach_the_mover() -> None:
    provider = Provider(name=CPU.name, device="cpu", options={"no_such": "option"}, exclusive=True)
    rows, values = Rows(provider, FLOAT32, threads=1), numbers(2, 3, 4)
    found = rows.read(on_device(FLOAT32, values), np.array([1, 1], np.int32))
    np.testing.assert_array_equal(found, values[[1, 1]])


def test_a_provider_that_cannot_move_rows_is_an_error() -> None:
    rows = Rows(Provider(name="QNNExecutionProvider", device="cpu"), FLOAT32, threads=1)
    with pytest.raises(WhisperoptError, match=r"reorders a batch|fell back to the CPU"):
        rows.pick(on_device(FLOAT32, numbers(2, 3, 4)), np.array([0, 1], np.int32))


def test_bfloat16_rounds_to_the_nearest_and_ties_to_even() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bits = np.random.default_rng(1).integers(0, 2**32, 100_000, dtype=np.uint32)
    ties = (bits & 0xFFFF0000) | 0x8000
    values = np.concatenate([bits, ties, [0x7F7FFFFF, 0x7F800000, 0xFF800000, 0]])
    values = values.astype(np.uint32).view(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(BFLOAT16.load(BFLOAT16.store(values)), expected)


def test_numbers_keep_their_values_through_store_and_load(element: Element) -> None:
    values = numbers(2, 3)
    found = element.load(element.store(values.T.astype(np.float64)))
    assert found.dtype == np.float32
    assert forms.relative_error(found, values.T) == 0
