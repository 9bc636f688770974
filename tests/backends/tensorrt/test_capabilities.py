"""The table takes the whole ladder and nothing that the real parser or builder refuses."""

from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir
import pytest
from whisperopt.backends.tensorrt import BACKEND

from tests.backends.tensorrt.variants import ODD, RUNGS
from tests.passes import forms
from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import PARTS
from whisperopt.static_checks import structure
from whisperopt.static_checks.structure import StructuralReport


def reports(checkpoint: Checkpoint, recipe: Recipe, folder: Path) -> Iterator[StructuralReport]:
    """Hold both graphs of one variant against the table."""
    artifact = forms.write(checkpoint, recipe, folder)
    for part in PARTS:
        yield structure.check(ir.load(artifact.graph(part)), BACKEND.capabilities(), part=part)


@pytest.mark.parametrize("name", RUNGS)
def test_every_rung_is_taken(name: str, small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    for report in reports(small_checkpoint, RUNGS[name], tmp_path):
        assert report.accepted, report.summary()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("attention-past", "TensorRT takes Attention with one output only"),
        ("attention-fp32", "no fused kernel fits several queries in float32"),
        ("gqa-fp32", "the plug-in takes half precision only"),
        ("gqa-mha", "no importer for com.microsoft.MultiHeadAttention"),
        ("mha-fp16", "no importer for com.microsoft.MultiHeadAttention"),
        ("int8", "no importer for com.microsoft.MatMulNBits"),
    ],
)
def test_what_the_builder_refuses_is_refused(
    name: str, reason: str, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    refused = [
        str(report.summary())
        for report in reports(small_checkpoint, ODD[name], tmp_path)
        if not report.accepted
    ]
    assert any(reason in summary for summary in refused), refused


def test_only_one_rung_needs_tensorrt_for_rtx(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    needing = [
        name
        for name, recipe in RUNGS.items()
        for report in reports(small_checkpoint, recipe, tmp_path / name)
        if any("only TensorRT for RTX has it" in condition for condition in report.conditions)
    ]
    assert needing == ["gqa-fp16"]


def test_attention_asks_for_the_release_that_has_it(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    encoder, _ = reports(small_checkpoint, RUNGS["attention-fp16"], tmp_path)
    assert encoder.since == "10.14"
