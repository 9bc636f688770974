"""The real WebGPU provider on a software device: our ladder passes, and sabotage does not."""

from pathlib import Path

import msgspec
import pytest
from whisperopt.backends.webgpu.rehearsal import WebgpuRehearsal, replay

from tests.passes import forms
from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import CoreModel
from whisperopt.rehearsal import rehearse
from whisperopt.static_checks.replay import Limits, differences, judge, recorded

PROBE = WebgpuRehearsal().probe()
RUNGS = {recipe.name: recipe for recipe in registry.require("webgpu").recipes()}
pytestmark = pytest.mark.skipif(not PROBE.ready, reason=f"{PROBE.reason}. {PROBE.remedy}")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.soak if n.endswith("fp32") else ()) for n in RUNGS],
)
def test_every_rung_computes_what_the_cpu_computes(
    name: str, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    made = forms.write(small_checkpoint, RUNGS[name], tmp_path / "artifact")
    for path in [*made.path.glob("encoder.onnx*"), *made.path.glob("decoder.onnx*")]:
        path.unlink()
    registry.require("webgpu").build(RUNGS[name], CoreModel(small_checkpoint), made.path)
    (told,) = rehearse(made, [WebgpuRehearsal()], tmp_path)
    assert told.passed, told.reason
    assert told.version == PROBE.version
    assert "on WebGpu" in told.facts["decoder.onnx"]


@pytest.mark.soak
def test_attention_of_opset_23_is_found_on_the_cpu(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    recipe = forms.form(forms.DECOMPOSED, encoder_attention="attention", decoder_precision="fp32")
    made = forms.write(small_checkpoint, recipe, tmp_path / "a")
    (told,) = rehearse(made, [WebgpuRehearsal()], tmp_path)
    assert told.passed is False
    assert "of encoder.onnx, 2 Attention would silently run on the CPU" in told.reason


@pytest.mark.soak
def test_fused_attention_in_the_encoder_is_off(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    recipe = forms.form(cross_attention="decomposed")
    made = forms.write(small_checkpoint, recipe, tmp_path / "a")
    (told,) = rehearse(made, [WebgpuRehearsal()], tmp_path)
    assert told.passed is False
    assert "(encoder, batch 1) has a relative error of" in told.reason


@pytest.mark.soak
def test_several_tokens_at_once_are_off(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    """What the session's single steps avoid; a release that mends it makes them needless."""
    made = forms.write(small_checkpoint, RUNGS["gqa-fp32"], tmp_path / "artifact")
    trace = recorded(made, tmp_path, at_once=20)
    told_otherwise = forms.form(RUNGS["gqa-fp32"], self_attention="decomposed")
    manifest = msgspec.structs.replace(made.manifest, recipe=told_otherwise)
    replayed = replay(trace, Artifact(made.path, manifest), tmp_path)
    limits = Limits(runtime="WebGPU", error=1e-3)
    told = judge(trace, replayed, differences(trace, replayed, tmp_path), limits)
    assert told.passed is False
    assert "(20 at once, batch" in told.reason
