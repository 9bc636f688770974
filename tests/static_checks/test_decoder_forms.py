"""Faults that only the decoder's own forms can have are told before anything is measured."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from tests.evaluate.variants import (
    CORE,
    Made,
    edited,
    judged,
    made,
    recipe_for,
    rewritten,
    swap,
    times,
)
from tests.sabotage import disk
from whisperopt import process
from whisperopt.passes.last_logits import LOGITS_FROM
from whisperopt.passes.rewrite import nodes
from whisperopt.static_checks import equivalence
from whisperopt.static_checks.equivalence import Equivalence
from whisperopt.static_checks.weights import unpacking

__all__ = ["made"]

TABLE = "decoder.embed_tokens.weight"
QUERY = "decoder.layers.1.self_attn.q_proj.weight"


@pytest.fixture
def wired(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[ir.Model], None]], Equivalence]:
    """Hold the double of a spoiled decoder against the core model, in this process."""

    monkeypatch.setattr(process, "ask", lambda handler, request, **_limits: handler(request))

    def judge(spoil: Callable[[ir.Model], None]) -> Equivalence:
        folder = rewritten(made("whole"), tmp_path / "spoiled", "decoder", spoil)
        return equivalence.check(CORE, folder, recipe_for("whole"), tmp_path)

    return judge


@pytest.mark.parametrize(
    ("tensor", "change", "place"),
    [
        (f"{TABLE}_scales", times(1.03), repr(TABLE)),
        (f"{TABLE}_scales", times(1.2, 5), f"row 5 of '{TABLE}'"),
        (f"{TABLE}_int8", swap(3, 9, axis=1), f"row 3 of '{TABLE}'"),
        (f"{QUERY}_scales", times(1.1, 7), f"channel 7 of '{QUERY}'"),
        (f"{QUERY}_int8", swap(2, 4, axis=1), f"channel 2 of '{QUERY}'"),
    ],
)
def test_a_spoiled_weight_in_whole_numbers_is_named(
    tensor: str, change: Any, place: str, made: Made, tmp_path: Path
) -> None:
    found = judged(edited(made("whole"), tmp_path / "spoiled", tensor, change))
    assert place in [reason.place for reason in found.reasons]


def test_scales_of_other_words_are_refused(made: Made, tmp_path: Path) -> None:
    def spoil(model: ir.Model) -> None:
        disk.before(_scale_gather(model), 1, "Add", np.array(1, np.int32))

    found = judged(rewritten(made("whole"), tmp_path / "spoiled", "decoder", spoil))
    assert any(TABLE in reason.place for reason in found.reasons)


def test_the_honest_decoder_is_the_core_models(wired: Any) -> None:
    assert wired(lambda _model: None) == Equivalence()


def test_biases_that_changed_places_are_told(wired: Any) -> None:
    def spoil(model: ir.Model) -> None:
        biased = [n for n in nodes(model, "DynamicQuantizeMatMul") if len(n.inputs) > 4]
        one, other = (
            next(n for n in biased if n.inputs[4].name == f"decoder.layers.{i}.fc1.bias")
            for i in (0, 1)
        )
        first, second = one.inputs[4], other.inputs[4]
        one.replace_input_with(4, second)
        other.replace_input_with(4, first)

    assert wired(spoil).reason.values["part"] == "decoder"


@pytest.mark.parametrize("off", [-1, 1])
def test_logits_of_another_position_than_asked_for_are_told(off: int, wired: Any) -> None:
    def spoil(model: ir.Model) -> None:
        (cut,) = (n for n in nodes(model, "Slice") if n.inputs[1].name == LOGITS_FROM)
        disk.before(cut, 1, "Add", np.array([off], np.int64))

    assert wired(spoil).reason.values["part"] == "decoder"


def test_a_last_position_that_is_not_the_last_is_told(wired: Any) -> None:
    def spoil(model: ir.Model) -> None:
        (cut,) = (n for n in nodes(model, "Slice") if n.inputs[1].name == LOGITS_FROM)
        disk.before(cut, 1, "Mul", np.array([2], np.int64))

    assert wired(spoil).reason.values["call"] == "the prefill's last position"


def test_who_does_not_ask_must_get_every_position(wired: Any) -> None:
    def spoil(model: ir.Model) -> None:
        model.graph.initializers[LOGITS_FROM].const_value = ir.tensor([2], dtype=ir.DataType.INT64)

    assert wired(spoil).reason.values["call"] == "the prefill"


def test_nothing_of_this_was_left_on_the_honest_variant(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made("whole"), tmp_path / "again")
    assert judged(tmp_path / "again").reasons == ()


def _scale_gather(model: ir.Model) -> ir.Node:
    _, scales = next(filter(None, map(unpacking.words, nodes(model, "Gather"))))
    return next(node for node in nodes(model, "Gather") if node.inputs[0] is scales)
