"""The pen draws named nodes and reads weights only when they are written."""

import numpy as np
import onnx_ir as ir
import pytest

from whisperopt.graph.canvas import Canvas, graph_input, lazy, typed

FLOAT = ir.DataType.FLOAT


def test_constant_of_one_name_is_drawn_once() -> None:
    canvas = Canvas()
    assert canvas.ints(0, -1) is canvas.ints(0, -1)
    assert canvas.ints(0, 1) is not canvas.ints(0, -1)
    assert len(canvas.initializers) == 2


def test_nodes_open_with_the_prefix_and_outputs_follow_them() -> None:
    canvas = Canvas("attention/")
    x = graph_input("x", FLOAT, ["batch"])
    first, second = canvas.op("Relu", x), canvas.op("Relu", x)
    assert [first.name, second.name] == ["attention/Relu_0_out0", "attention/Relu_1_out0"]
    named = canvas.node("Split", [x], name="halves", outputs=2)
    assert [value.name for value in named] == ["halves_out0", "halves_out1"]


def test_weight_is_read_each_time_and_never_kept() -> None:
    reads = []

    def read():
        reads.append(1)
        return np.ones((2, 3), np.float32)

    tensor = lazy("w", [2, 3], read, FLOAT)
    assert not reads
    assert tensor.tobytes() == tensor.tobytes()
    assert len(reads) == 2


def test_transposed_weight_is_written_in_its_new_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = lazy("w", [3, 2], lambda: array.T, FLOAT)
    assert tensor.tobytes() == np.ascontiguousarray(array.T).tobytes()


def test_weight_of_another_size_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"w has shape \(4,\), not \(2, 3\)"):
        lazy("w", [2, 3], lambda: np.ones(4, np.float32), FLOAT).numpy()


def test_model_declares_its_versions() -> None:
    canvas = Canvas()
    x = graph_input("x", FLOAT, ["batch", 2])
    model = canvas.model("made", [x], [typed(canvas.op("Relu", x), FLOAT, ["batch", 2])])
    assert (model.ir_version, model.producer_name) == (10, "whisperopt")
    assert model.graph.opset_imports == {"": 20, "com.microsoft": 1}
