"""What OpenVINO's own conversion and its plugin say of a variant, and how that is judged."""

from pathlib import Path

import pytest
from whisperopt.backends.openvino import rehearsal
from whisperopt.backends.openvino.rehearsal import OpenVinoRehearsal, Queried, judge

from tests.backends.openvino.graphs import LADDER, fix_batch, named
from tests.passes import forms
from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.process import Failure
from whisperopt.reasons import because
from whisperopt.rehearsal import rehearse

WHOLE = Queried(taken=3)


def test_a_plugin_that_takes_every_node_passes() -> None:
    found = judge({"encoder": WHOLE, "decoder": WHOLE})
    assert found.passed
    assert found.reason == "the CPU plugin takes all nodes: 3 of the encoder, 3 of the decoder"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Queried(refused="No rule"), "it: No rule"),
        (
            Queried(taken=2, left=(("If", "a"), ("If", "b"), ("Loop", "c"))),
            "does not take If x2, Loop x1 (for example a)",
        ),
        (Queried(), "no node"),
        (Failure(because("process.too-long", seconds=120)), "OpenVINO failed, it took over 120 s"),
    ],
)
def test_anything_else_fails_and_names_the_part(found: Queried | Failure, told: str) -> None:
    judged = judge({"encoder": WHOLE, "decoder": found})
    assert not judged.passed
    assert judged.reason.startswith("decoder: ")
    assert told in judged.reason


def test_the_backend_offers_it() -> None:
    (one,) = registry.require("openvino").rehearsals()
    assert (one.name, one.tier) == ("openvino", Tier.STRUCTURAL)


def test_without_openvino_it_is_not_tried(
    small_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "find_spec", lambda _name: None)
    artifact = forms.write(small_checkpoint, LADDER[0], tmp_path / "made")
    monkeypatch.setenv("WHISPEROPT_REHEARSALS", str(tmp_path))  # asked anew
    (rehearsed,) = rehearse(artifact, [OpenVinoRehearsal()], tmp_path)
    assert rehearsed.passed is None
    assert rehearsed.reason.startswith("not tried: OpenVINO is not installed. pip install")


def test_a_conversion_that_hangs_is_a_reason(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "_SECONDS", 0.01)
    found = OpenVinoRehearsal().run(small_artifact, tmp_path)
    assert "OpenVINO failed, it took over 0.01 s" in found.reason


@pytest.mark.parametrize("name", ["mha-int8", "gqa-fp32"])
def test_the_plugin_takes_every_node(
    name: str, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="pip install 'whisperopt[openvino]'")
    artifact = forms.write(small_checkpoint, named(name), tmp_path / "made")
    (rehearsed,) = rehearse(artifact, [OpenVinoRehearsal()], tmp_path)
    assert rehearsed.passed, rehearsed.reason
    assert rehearsed.version


def test_a_static_batch_of_two_fails_with_openvinos_reason(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="pip install 'whisperopt[openvino]'")
    artifact = forms.write(small_checkpoint, named("gqa-fp32"), tmp_path / "made")
    fix_batch(artifact, 2)
    (rehearsed,) = rehearse(artifact, [OpenVinoRehearsal()], tmp_path)
    assert rehearsed.passed is False
    assert "GroupQueryAttention is only supported for batch_size == 1" in rehearsed.reason
    assert "encoder" not in rehearsed.reason
