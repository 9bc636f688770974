"""The script that makes the calls, here on the CPU's provider: the same moves, the same answers."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from whisperopt.backends.webgpu import replay

from tests.passes import forms
from whisperopt.artifact import Artifact
from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.static_checks import io_trace as trace
from whisperopt.static_checks.io_trace import Trace

CONCAT = forms.form(name="concat", self_attention="mha", cache="concat")


class EndedError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the script use a provider that every machine has."""

    def end(status: int) -> None:
        raise EndedError(status)

    monkeypatch.setattr(replay, "_PROVIDER", "CPUExecutionProvider")
    monkeypatch.setattr(replay, "_DEVICE", "cpu")
    monkeypatch.setattr(replay.os, "_exit", end)


def answer(
    made: Artifact, traced: Trace, folder: Path, monkeypatch, **flags: bool
) -> dict[str, Any]:
    """Ask the script as the rehearsal does and return its answer."""
    (folder / "outputs").mkdir(exist_ok=True)
    request = {
        "graphs": str(made.path),
        "scratch": str(folder),
        "runs": msgspec.to_builtins(traced.runs),
        "stepwise": False,
        "in_place": False,
        **flags,
    }
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request)))
    monkeypatch.setattr(sys, "stdout", output)
    with pytest.raises(EndedError):
        replay.main()
    found: dict[str, Any] = json.loads(output.getvalue().splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("recipe", "flags"),
    [
        (forms.CORE, {"stepwise": True, "in_place": True}),
        (CONCAT, {"stepwise": True}),
        (forms.DECOMPOSED, {}),
    ],
    ids=["shared", "concat", "static"],
)
def test_calls_are_made_as_a_session_makes_them(
    recipe: Recipe, flags: dict[str, bool], small_checkpoint: Checkpoint, tmp_path, monkeypatch
) -> None:
    made = forms.write(small_checkpoint, recipe, tmp_path / "artifact")
    traced = trace.record(made, tmp_path / "trace", at_once=9)
    found = answer(made, traced, tmp_path, monkeypatch, **flags)
    assert found["device"] is None
    assert {call[0] for call in found["calls"]} == {run.label for run in traced.runs}
    assert not any(call[2] for call in found["calls"])
    differences = trace.compare(traced, tmp_path / "trace", tmp_path / "outputs")
    assert trace.within(differences, 1e-5) is None


def test_the_runtime_says_where_each_node_ran(small_artifact, tmp_path, monkeypatch) -> None:
    traced = trace.record(small_artifact, tmp_path / "trace", batches=(1,), steps=1)
    found = answer(small_artifact, traced, tmp_path, monkeypatch)
    nodes = {(graph, op): count for graph, op, _, count in found["nodes"]}
    assert nodes["decoder.onnx", "GroupQueryAttention"] == 2
    assert nodes["encoder.onnx", "Conv"] == 2
    assert {provider for _, _, provider, _ in found["nodes"]} == {"CPUExecutionProvider"}


def test_a_graph_that_does_not_open_is_a_call_with_a_reason(
    small_checkpoint: Checkpoint, tmp_path, monkeypatch
) -> None:
    made = forms.write(small_checkpoint, forms.CORE, tmp_path / "artifact")
    traced = trace.record(made, tmp_path / "trace", batches=(1,), steps=1)
    made.graph("decoder").write_bytes(b"nothing")
    encoder, decoder = answer(made, traced, tmp_path, monkeypatch)["calls"]
    assert (encoder[0], encoder[2]) == ("encoder, batch 1", None)
    assert decoder[0] == "opening of decoder.onnx"
    assert decoder[2]
    assert "\n" not in decoder[2]


def test_a_call_that_fails_leaves_the_others_alone(small_artifact, tmp_path, monkeypatch) -> None:
    traced = trace.record(small_artifact, tmp_path / "trace", batches=(1,), steps=1)
    (tmp_path / "trace" / traced.runs[1].feeds[0].file).unlink()
    errors = [call[2] for call in answer(small_artifact, traced, tmp_path, monkeypatch)["calls"]]
    assert [bool(error) for error in errors] == [False, True, False]


def test_a_device_that_does_not_load_is_told_first(small_artifact, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(replay, "_PROVIDER", "WebGpuExecutionProvider")
    found = answer(small_artifact, Trace(runs=()), tmp_path, monkeypatch)
    assert found["device"]
    assert found["calls"] == []
