"""The ladder of WebGPU: what it builds, and what stands where."""

from pathlib import Path

import onnx_ir as ir
import pytest

from tests.passes import forms
from whisperopt import matrix, registry
from whisperopt.backend import Probe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.ort_backend import OrtBackend
from whisperopt.static_checks import structure

BACKEND = registry.require("webgpu")
RUNGS = {recipe.name: recipe for recipe in BACKEND.recipes()}


@pytest.fixture(scope="module")
def built(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every rung of a small model in a folder of its own."""
    folder = tmp_path_factory.mktemp("rungs")
    for name, recipe in RUNGS.items():
        (folder / name).mkdir()
        BACKEND.build(recipe, CoreModel(small_checkpoint), folder / name)
    return folder


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", RUNGS)
def test_every_rung_is_within_the_capabilities(built: Path, name: str, part: Part) -> None:
    model = ir.load(built / name / f"{part}.onnx")
    report = structure.check(model, BACKEND.capabilities(), part=part)
    assert report.accepted, report.summary()


@pytest.mark.parametrize("name", RUNGS)
def test_fused_attention_is_left_to_single_tokens(built: Path, name: str) -> None:
    fused = {"com.microsoft.GroupQueryAttention", "com.microsoft.MultiHeadAttention"}
    assert not fused & set(forms.operators(ir.load(built / name / "encoder.onnx")))
    decoder = forms.operators(ir.load(built / name / "decoder.onnx"))
    assert sum(decoder.get(op, 0) for op in fused) == (0 if "decomposed" in name else 2)


@pytest.mark.parametrize("name", RUNGS)
def test_only_encoders_of_half_precision_widen_their_sums(built: Path, name: str) -> None:
    for part in PARTS:
        model = ir.load(built / name / f"{part}.onnx")
        casts = [
            n for n in model.graph if n.op_type == "Cast" and n.name and "/attention/" in n.name
        ]
        expected = 3 * 2 if (part, RUNGS[name].half) == ("encoder", True) else 0
        assert len(casts) == expected


def test_single_precision_waits_for_no_rung_above() -> None:
    """Whether a GPU's shaders know half precision is not known where the release is built."""
    assert RUNGS["gqa-fp32"].stands_in_for == ()
    assert [name for name in RUNGS if RUNGS[name].half] == list(RUNGS)[:3]


def test_any_gpu_comes_after_better_known_ones_and_before_the_cpu() -> None:
    packaged = matrix.load()
    order = [target.name for target in packaged.targets]
    assert packaged.device_order.index("gpu") == packaged.device_order.index("cpu") - 1
    assert order.index("directml") < order.index("webgpu") < order.index("cpu")


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (
            "x.cc:65 void f() was false. Failed to get a WebGPU adapter: none",
            "no GPU of this host",
        ),
        ("ONNX Runtime is not installed", "ONNX Runtime is not installed"),
    ],
)
def test_a_missing_gpu_is_one_sentence(monkeypatch, reason: str, told: str) -> None:
    probe = Probe(runtime="onnxruntime-webgpu", reason=reason, remedy="?")
    monkeypatch.setattr(OrtBackend, "probe", lambda _: probe)
    found = BACKEND.probe()
    assert str(found.reason).startswith(told)
    assert "::" not in str(found.reason)
