"""ONNX files that somebody else wrote, and damaged ones: an answer, or a sentence."""

import logging
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.inspection.inspect import (
    inspect,
    inspect_onnx,
)


def foreign(nodes: list[onnx.NodeProto], opset: int = 20) -> bytes:
    """Return a graph x [2, 2] -> y with a weight `w`."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in "xy"]
    weight = numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")
    graph = helper.make_graph(nodes, "foreign", values[:1], values[1:], [weight])
    imports = [helper.make_opsetid("", opset)]
    content: bytes = helper.make_model(graph, opset_imports=imports).SerializeToString()
    return content


def test_attention_of_other_exporters_is_found(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"], name="attend"),
        helper.make_node("Identity", ["shares"], ["kept"]),
        helper.make_node("MatMul", ["kept", "w"], ["mixed"]),
        helper.make_node("Softmax", ["mixed"], ["y"], name="classify"),
    ]
    (tmp_path / "foreign.onnx").write_bytes(foreign(nodes))
    facts = inspect_onnx(tmp_path / "foreign.onnx")
    assert [(one.node, one.heads, one.scale) for one in facts.graph.attention] == [
        ("attend", None, None)
    ]
    assert facts.graph.parameters == 4


def relu(source: str = "x", target: str = "y") -> onnx.NodeProto:
    return helper.make_node("Relu", [source], [target], name="rectify")


@pytest.mark.parametrize(
    ("nodes", "opset", "words"),
    [
        ([relu()], 20, "no capability table covers Relu x1"),
        ([helper.make_node("MatMul", ["x", "w"], ["y"])], 9, "the tables begin at opset 13"),
    ],
)
def test_what_the_tables_do_not_cover_is_not_judged(
    tmp_path: Path, nodes: list[onnx.NodeProto], opset: int, words: str
) -> None:
    (tmp_path / "foreign.onnx").write_bytes(foreign(nodes, opset))
    for verdict in inspect_onnx(tmp_path / "foreign.onnx").backends:
        assert verdict.executed is None
        assert words in verdict.reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no graph"),
        (b"version https://git-lfs.github.com/spec/v1\n", "cannot be read as an ONNX model"),
        (b"\x00" * 100, "cannot be read as an ONNX model"),
        (foreign([]), "holds no graph"),
        (foreign([relu("ghost")]), "'rectify' that reads 'ghost', which nothing writes"),
        (foreign([relu("x", "elsewhere")]), "an output 'y' that nothing writes"),
        (foreign([relu("later"), relu("x", "later")]), "what a later node"),
    ],
    ids=["empty", "pointer", "zeros", "no nodes", "lost input", "lost output", "order"],
)
def test_what_is_no_whole_graph_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=r"odd\.onnx") as caught:
        inspect(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_there_are_named(graph: Path) -> None:
    (graph.parent / "decoder.onnx.data").unlink()
    with pytest.raises(BadInputError, match=r"decoder\.onnx\.data, which is not there"):
        inspect(graph)


def test_weights_that_were_cut_short_are_named(graph: Path) -> None:
    weights = graph.parent / "decoder.onnx.data"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(BadInputError, match=r"decoder\.onnx\.data, which is too short"):
        inspect(graph)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"There is no file .*gone\.onnx"):
        inspect(tmp_path / "gone.onnx")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_graph_cut_anywhere_is_refused(graph: Path, share: float) -> None:
    whole = graph.read_bytes()
    cut = graph.with_name("cut.onnx")
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BadInputError, match=r"cut\.onnx"):
        inspect(cut)


def answer(path: Path) -> str:
    """Return the facts as JSON, or the sentence."""
    try:
        return msgspec.json.encode(inspect(path), enc_hook=str).decode()
    except WhisperoptError as error:
        return str(error)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0), byte=st.integers(0, 255))
def test_a_damaged_graph_is_a_sentence_or_an_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: int, byte: int
) -> None:
    content = bytearray(foreign([relu("x", "middle"), relu("middle")]))
    content[place % len(content)] = byte
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        said = answer(path)
    assert "\n" not in said
    assert not caplog.records
