"""Graphs that ONNX Runtime does not open, or not where it should."""

import pytest

from tests.passes import forms
from tests.passes.forms import CORE
from tests.runtime.test_ort import deal_in_bfloat16
from whisperopt.artifact import Artifact
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import WhisperoptError
from whisperopt.runtime.ort import CPU, OrtSession
from whisperopt.runtime.provider import Provider


def test_parts_that_deal_in_different_types_are_refused(
    small_checkpoint: Checkpoint, tmp_path
) -> None:
    made = forms.write(small_checkpoint, CORE, tmp_path)
    deal_in_bfloat16(made.graph("decoder"))
    reason = r"encoder of .* deals in tensor\(float\), its decoder in tensor\(bfloat16\)"
    with pytest.raises(WhisperoptError, match=reason):
        forms.open_session(made)


def test_missing_graph_is_an_error_that_names_it(small_artifact: Artifact, tmp_path) -> None:
    with pytest.raises(WhisperoptError, match=r"ONNX Runtime cannot open .*encoder\.onnx"):
        OrtSession(Artifact(tmp_path, small_artifact.manifest), CPU, threads=1)


def test_damaged_graph_is_an_error_that_names_it(small_checkpoint: Checkpoint, tmp_path) -> None:
    made = forms.write(small_checkpoint, CORE, tmp_path)
    made.graph("decoder").write_bytes(b"not a graph")
    with pytest.raises(WhisperoptError, match=r"ONNX Runtime cannot open .*decoder\.onnx"):
        forms.open_session(made)


def test_missing_weights_are_an_error_that_names_the_graph(
    small_checkpoint: Checkpoint, tmp_path
) -> None:
    made = forms.write(small_checkpoint, CORE, tmp_path)
    (tmp_path / "decoder.onnx.data").unlink()
    with pytest.raises(WhisperoptError, match=r"ONNX Runtime cannot open .*decoder\.onnx"):
        forms.open_session(made)


def test_provider_that_does_not_exist_never_becomes_the_cpu(small_artifact: Artifact) -> None:
    absent = Provider(name="QNNExecutionProvider", device="cpu")
    with pytest.raises(WhisperoptError):
        OrtSession(small_artifact, absent, threads=1)


def test_a_provider_that_leaves_the_work_to_the_cpu_is_refused(small_artifact: Artifact) -> None:
    import onnxruntime

    idle = Provider(name="AzureExecutionProvider", device="cpu")
    if idle.name not in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has no {idle.name}, which loads and takes no node")
    reason = r"The encoder of .* was refused: .*MatMul.* would silently run on the CPU"
    with pytest.raises(WhisperoptError, match=reason):
        OrtSession(small_artifact, idle, threads=1)
