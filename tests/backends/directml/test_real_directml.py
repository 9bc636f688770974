"""The real DirectML on a software device: our ladder passes, and sabotage does not."""

import re
from pathlib import Path

import numpy as np
import pytest
from whisperopt.backends.directml.rehearsal import DirectmlRehearsal, compute

from tests.backends.directml.variants import ODD, RUNGS
from tests.makers import SMALL
from tests.passes import forms
from whisperopt.artifact import Artifact
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.rehearsal import Judgement, rehearse
from whisperopt.static_checks.io_trace import Array, Run, Trace, record

PROBE = DirectmlRehearsal().probe()
SOAK = pytest.mark.soak
pytestmark = pytest.mark.skipif(not PROBE.ready, reason=f"{PROBE.reason}. {PROBE.remedy}")


def judged(
    artifact: Artifact, folder: Path, *, shared: bool, trace: Trace | None = None
) -> Judgement:
    """Let DirectML make the calls of `trace`, or else a prefill and a step of one row."""
    trace = trace or record(artifact, folder / "trace", batches=(1,), steps=1)
    (folder / "outputs").mkdir()
    return compute(trace, artifact.path, folder, shared=shared)


@pytest.mark.parametrize(
    "name", ["gqa-fp16", *(pytest.param(n, marks=SOAK) for n in ("mha-fp16", "decomposed-fp16"))]
)
def test_every_rung_computes_what_the_cpu_computes(
    name: str, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    artifact = forms.write(small_checkpoint, RUNGS[name], tmp_path / "artifact")
    (told,) = rehearse(artifact, [DirectmlRehearsal()], tmp_path)
    assert told.passed, told.reason
    assert told.facts["onnxruntime"] == PROBE.version
    found = re.fullmatch(r"nodes: (\d+) on Dml, \d+ on CPU", told.facts["decoder.onnx"])
    assert found
    assert int(found[1]) > 50


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mha-cross", "MultiHeadAttention (decoder.layers.0.encoder_attn/attention): 80070057"),
        ("mha-unmasked", "has a relative error of"),
        ("attention", "2 Attention would silently run on the CPU"),
    ],
)
def test_sabotage_is_caught_with_the_right_reason(
    name: str, reason: str, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    recipe = ODD[name]
    artifact = forms.write(small_checkpoint, recipe, tmp_path / "artifact")
    told = judged(artifact, tmp_path, shared=recipe.cache == "shared")
    assert told.passed is False
    assert reason in told.reason


@pytest.mark.soak
def test_gqa_in_two_buffers_loses_the_past(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    artifact = forms.write(small_checkpoint, RUNGS["gqa-fp16"], tmp_path / "artifact")
    told = judged(artifact, tmp_path, shared=False)
    assert told.passed is False
    assert "(step 1, batch 1)" in told.reason


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "right"),
    [("gqa-fp16", False), ("decomposed-fp16", True)],
)
def test_a_chunk_behind_a_past_is_wrong_through_gqa_only(
    name: str, right: bool, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    recipe = RUNGS[name]
    artifact = forms.write(small_checkpoint, recipe, tmp_path / "artifact")
    trace = (chunk(artifact, tmp_path / "trace"),)
    told = judged(artifact, tmp_path, shared=recipe.cache == "shared", trace=trace)
    assert told.passed is right, told
    assert right or "(chunk) has a relative error of" in told.reason


def chunk(artifact: Artifact, folder: Path) -> Run:
    """Return what the CPU computes of three tokens at once behind the prompt."""
    import onnxruntime as ort

    before = record(artifact, folder, batches=(1,), steps=0)[1]
    past = before.feeds[0].shape[1]
    presents = {one.name.replace("present", "past", 1): one for one in before.outputs}
    feeds = {one.name: (presents.get(one.name, one)).read(folder) for one in before.feeds}
    feeds["input_ids"] = forms.random_tokens(SMALL, batch=1, length=3)
    feeds["past_sequence_length"] = np.array([past], np.int32)
    session = ort.InferenceSession(artifact.graph("decoder"), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, feeds), strict=True))
    return Run(
        graph="decoder.onnx",
        label="chunk",
        feeds=tuple(kept(folder, name, values) for name, values in feeds.items()),
        outputs=tuple(kept(folder, name, values) for name, values in outputs.items()),
        valid=past + 3,
    )


def kept(folder: Path, name: str, values: np.ndarray) -> Array:
    """Write one tensor to a file of its own."""
    values.tofile(folder / f"chunk-{name}.bin")
    return Array(name=name, file=f"chunk-{name}.bin", dtype=values.dtype.name, shape=values.shape)
