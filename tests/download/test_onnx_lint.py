"""Graphs are looked at before anything opens them: ours pass, whatever reaches elsewhere does not."""

import contextlib
import re
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from tests.download.graphs import (
    FLOAT,
    INT64,
    graph,
    inside,
    model,
    nested,
    node,
    outside,
    twice,
    with_function,
)
from tests.passes import forms
from whisperopt.artifact import Artifact
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.download import onnx_lint
from whisperopt.download.protobuf import Message, WireError
from whisperopt.errors import IntegrityError

SIZES = {"g.onnx": 100, "g.data": 1_000, "ctx.bin": 10}
HUGE = 1 << 40
GOOD = outside(location="g.data", offset="0", length="16")


def code(folder: Path, made: ModelProto | bytes) -> str:
    """Return why a graph is refused."""
    path = folder / "g.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    with pytest.raises(IntegrityError) as caught:
        onnx_lint.check_graph(path, SIZES)
    assert str(path) in caught.value.problem
    assert str(caught.value).isprintable()
    return caught.value.reason.code.removeprefix("lint.")


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ({"location": "../../etc/passwd"}, "location"),
        ({"location": "/etc/passwd"}, "location"),
        ({"location": "sub/g.data"}, "location"),
        ({"location": "sub\\g.data"}, "location"),
        ({"location": "other.data"}, "location"),
        ({"location": ""}, "location"),
        ({}, "location"),
        ({"location": "g.data", "offset": "990"}, "beyond"),
        ({"location": "g.data", "offset": str(HUGE)}, "beyond"),
        ({"location": "g.data", "offset": "-4"}, "outside"),
        ({"location": "g.data", "offset": "9" * 5000}, "outside"),
        ({"location": "g.data", "offset": "\u0664"}, "outside"),
        ({"location": "g.data", "length": str(10**15)}, "length"),
        ({"location": "g.data", "length": "4"}, "length"),
        ({"location": "g.data", "basepath": "/"}, "outside"),
    ],
)
def test_numbers_lie_in_a_file_of_the_artifact(
    tmp_path: Path, where: dict[str, str], why: str
) -> None:
    assert code(tmp_path, model(tensors=[outside(**where)])) == why
    value = node("Constant", value=outside(**where))
    assert code(tmp_path, model(value)) == why


MALICIOUS = {
    "overlap": model(tensors=[GOOD, outside("v", location="g.data", offset="8", length="16")]),
    "the same bytes": model(tensors=[GOOD, outside("v", location="g.data")]),
    "domain": model(opset_imports=[helper.make_opsetid("evil.ops", 1)]),
    "operator": model(node(domain="evil.ops")),
    "python": model(node("PythonOp", domain="com.microsoft")),
    "functions": with_function(),
    "nested": nested(onnx_lint.MAX_DEPTH + 1),
    "huge": model(tensors=[TensorProto(name="w", data_type=FLOAT, dims=[HUGE])]),
    "negative": model(tensors=[TensorProto(name="w", data_type=FLOAT, dims=[-1])]),
    "fill": model(node("ConstantOfShape", "s"), tensors=[inside("s", HUGE)]),
    "fill by a node": model(
        helper.make_node("Constant", [], ["s"], value_ints=[1 << 20, 1 << 20]),
        node("ConstantOfShape", "s"),
    ),
    "expand": model(node("Expand", "x", "s"), tensors=[inside("s", 1, HUGE)]),
    "range": model(
        node("Range", "a", "b", "c"), tensors=[inside("a", 0), inside("b", HUGE), inside("c", 1)]
    ),
    "random": model(node("RandomNormal", shape=[HUGE])),
    "hidden shape": model(
        node("ConstantOfShape", "s"), tensors=[outside("s", 1, kind=INT64, location="g.data")]
    ),
    "context": model(
        node("EPContext", domain="com.microsoft", embed_mode=0, ep_cache_context="../lib.so")
    ),
    "sparse": model(node("Constant", sparse_value=onnx.SparseTensorProto())),
    "name": model(node("Identity", "\x1b[2J")),
    "text": model(node("Identity", "\u202egnp")),
    "twice": twice(helper.make_attribute("value_int", 1)),
    "no graph": ModelProto(ir_version=10),
    "two graphs": model().SerializeToString() * 2,
    "nothing": b"",
    "text file": b"this is no graph at all",
    "cut": model().SerializeToString()[:-3],
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_what_none_of_our_graphs_has_is_refused(tmp_path: Path, name: str) -> None:
    code(tmp_path, MALICIOUS[name])


def test_too_many_nodes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_lint, "MAX_NODES", 3)
    assert code(tmp_path, model(*[node()] * 4)) == "nodes"


def test_a_sound_graph_passes(tmp_path: Path) -> None:
    context = node("EPContext", domain="com.microsoft", embed_mode=0, ep_cache_context="ctx.bin")
    shape = inside("s", 2, 3)
    branch = helper.make_node(
        "If", ["x"], ["y"], then_branch=graph([node()]), else_branch=graph([context])
    )
    made = model(node("ConstantOfShape", "s"), branch, tensors=[shape, GOOD])
    (tmp_path / "g.onnx").write_bytes(made.SerializeToString())
    assert onnx_lint.check_graph(tmp_path / "g.onnx", SIZES) == (4, 2)


@pytest.mark.parametrize(
    "recipe",
    [
        forms.CORE,
        forms.DECOMPOSED,
        forms.form(name="half", encoder_precision="fp16", decoder_precision="fp16"),
        forms.form(name="int8", encoder_precision="int8", decoder_precision="int8"),
    ],
    ids=lambda recipe: recipe.name,
)
def test_our_graphs_pass_and_hold_what_onnx_says(
    small_checkpoint: Checkpoint, tmp_path: Path, recipe: forms.Recipe
) -> None:
    made = forms.write(small_checkpoint, recipe, tmp_path)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    for part in ("encoder", "decoder"):
        found = onnx_lint.check_graph(made.graph(part), sizes)
        known = onnx.load(made.graph(part), load_external_data=False).graph
        assert found.nodes == len(known.node)
        assert found.tensors >= len(known.initializer)
        same_as_onnx(made.graph(part).read_bytes())


def same_as_onnx(data: bytes) -> None:
    """Compare what our reader finds of names, shapes and files with what ONNX's own finds."""
    known, (found,) = onnx.load_from_string(data).graph, Message(memoryview(data)).each(7)
    assert [n.text(4) for n in found.each(1)] == [n.op_type for n in known.node]
    assert [n.texts(1) for n in found.each(1)] == [list(n.input) for n in known.node]
    assert [n.text(7) for n in found.each(1)] == [n.domain for n in known.node]
    assert [t.text(8) for t in found.each(5)] == [t.name for t in known.initializer]
    assert [t.numbers(1) for t in found.each(5)] == [list(t.dims) for t in known.initializer]
    assert [t.number(2) for t in found.each(5)] == [t.data_type for t in known.initializer]
    entries = [[(e.text(1), e.text(2)) for e in t.each(13)] for t in found.each(5)]
    assert entries == [[(e.key, e.value) for e in t.external_data] for t in known.initializer]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5), st.text(max_size=5))
def test_our_reader_reads_what_onnx_writes(dims: list[int], name: str) -> None:
    tensor = TensorProto(dims=dims, name=name, data_type=FLOAT)
    found = Message(memoryview(tensor.SerializeToString()))
    assert (found.numbers(1), found.text(8), found.number(2)) == (dims, name, FLOAT)


@pytest.mark.parametrize(
    "raw",
    [b"\x80", b"\x08", b"\x08" + b"\xff" * 11, b"\x00\x00", b"\x0b", b"\x0a\x05a", b"\x0d\x01"],
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        Message(memoryview(raw))


@pytest.mark.fuzz
@given(data=st.data())
def test_a_damaged_graph_passes_or_is_refused(
    data: st.DataObject, small_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(small_artifact.graph("decoder").read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    sizes = {file.name: file.stat().st_size for file in small_artifact.path.iterdir()}
    with contextlib.suppress(IntegrityError):
        onnx_lint.check_graph(path, sizes)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("genai_config.json", '{"a": {"custom_ops_library": "evil.so"}}', "evil.so"),
        ("genai_config.json", '{"a": ["/etc/passwd"]}', "/etc/passwd"),
        ("tokenizer_config.json", '{"a": 1, "a": 2}', "twice"),
        ("tokenizer.json", "[" * 1000, "nested"),
    ],
)
def test_settings_that_travel_name_nothing_elsewhere(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(IntegrityError, match=re.escape(words)):
        onnx_lint.check_settings(tmp_path / name)
