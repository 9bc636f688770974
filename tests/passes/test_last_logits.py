"""Logits are computed from the position on that is asked for, and everywhere if none is."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from tests.makers import SMALL
from whisperopt.graph.core import CoreModel, write
from whisperopt.passes.last_logits import LOGITS_FROM, LogitsOfLast
from whisperopt.passes.quantization.blocks import BlockInt8
from whisperopt.passes.rewrite import PassError, nodes, run


def test_the_position_is_an_input_with_a_default(small_core: CoreModel) -> None:
    graph = run(small_core.part("decoder"), [LogitsOfLast()]).graph
    assert [value.name for value in graph.inputs][-1] == LOGITS_FROM
    assert graph.initializers[LOGITS_FROM].const_value.numpy().tolist() == [0]
    assert str(graph.outputs[0].shape) == f"[batch,positions,{SMALL.vocabulary}]"
    onnx.checker.check_model(ir.to_proto(run(small_core.part("decoder"), [LogitsOfLast()])))


def test_only_norm_and_logits_come_behind_the_slice(small_core: CoreModel) -> None:
    (cut,) = nodes(run(small_core.part("decoder"), [LogitsOfLast()]), "Slice")[1:]
    behind = []
    value = cut.outputs[0]
    while value.uses():
        node = next(iter(value.uses())).node
        behind.append(node.op_type)
        value = node.outputs[0]
    assert behind == ["LayerNormalization", "MatMul"]


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("first", [0, 2, -1])
def test_logits_are_those_of_the_positions_from_there_on(
    first: int, coarse: bool, small_core: CoreModel, tmp_path: Path
) -> None:
    ort = pytest.importorskip("onnxruntime")
    passes = [LogitsOfLast(), *([BlockInt8()] if coarse else [])]
    write(run(small_core.part("decoder"), passes), tmp_path / "decoder.onnx")
    session = ort.InferenceSession(tmp_path / "decoder.onnx", providers=["CPUExecutionProvider"])
    feeds = _feeds(session)
    (every,) = session.run(["logits"], feeds)
    (some,) = session.run(["logits"], {**feeds, LOGITS_FROM: np.array([first], np.int64)})
    np.testing.assert_allclose(some, every[:, first:], atol=1e-5)


def test_an_encoder_has_no_logits(small_core: CoreModel) -> None:
    with pytest.raises(PassError, match=r"it has no decoder\.layer_norm"):
        run(small_core.part("encoder"), [LogitsOfLast()])


def test_promise_names_the_input(small_core: CoreModel) -> None:
    assert LogitsOfLast().ensures(small_core.part("decoder")) == "logits_from is no input"


def test_a_second_time_changes_nothing(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [LogitsOfLast(), LogitsOfLast()])
    assert [value.name for value in model.graph.inputs].count(LOGITS_FROM) == 1
    assert len(nodes(model, "Slice")) == 2


def _feeds(session: object) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    sizes = {"batch": 2, "sequence": 4, "context": 12}
    feeds = {}
    for put in session.get_inputs():  # type: ignore[attr-defined]  # of an optional package
        shape = [sizes.get(side, side) for side in put.shape]
        feeds[put.name] = random.normal(0, 0.5, shape).astype(np.float32)
    feeds["input_ids"] = random.integers(0, SMALL.vocabulary, (2, 4)).astype(np.int32)
    feeds["past_sequence_length"] = np.zeros(1, np.int32)
    return feeds
