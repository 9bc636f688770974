"""The table of OpenVINO, held against what the ladder writes and against a sabotage."""

from pathlib import Path

import onnx_ir as ir
import pytest

from tests.backends.openvino.graphs import fix_batch, named
from tests.passes import forms
from whisperopt import registry
from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import PARTS, CoreModel
from whisperopt.passes.plan import make
from whisperopt.static_checks import structure

BACKEND = registry.require("openvino")


@pytest.mark.parametrize("recipe", BACKEND.recipes(), ids=lambda recipe: recipe.name)
def test_every_node_of_the_ladder_is_in_the_table(recipe: Recipe, small_core: CoreModel) -> None:
    for part in PARTS:
        report = structure.check(make(recipe, small_core, part), BACKEND.capabilities(), part=part)
        assert report.accepted, report.summary()


def test_a_dynamic_batch_of_gqa_is_a_condition(small_core: CoreModel) -> None:
    graph = make(named("gqa-fp32"), small_core, "decoder")
    report = structure.check(graph, BACKEND.capabilities())
    assert "com.microsoft.GroupQueryAttention: the batch must be 1" in "\n".join(report.conditions)


def test_a_static_batch_of_two_is_refused_with_the_reason(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    artifact = forms.write(small_checkpoint, named("gqa-fp32"), tmp_path)
    fix_batch(artifact, 2)
    report = structure.check(ir.load(artifact.graph("decoder")), BACKEND.capabilities())
    assert not report.accepted
    assert "the batch is 2, only 1 is executed" in str(report.summary())
    assert "without an error" in str(report.summary())


def test_stand_ins_come_below_what_they_stand_in_for() -> None:
    seen: list[str] = []
    for recipe in BACKEND.recipes():
        assert set(recipe.stands_in_for) <= set(seen), recipe.name
        seen.append(recipe.name)
