"""What OpenVINO's own conversion and its plugin say of a variant, and how that is judged."""

from pathlib import Path

import pytest
from whisperopt.backends.openvino import rehearsal
from whisperopt.backends.openvino.rehearsal import OpenVinoRehearsal, Queried, judge

from tests.backends.openvino.graphs import LADDER, fix_batch, named
from tests.passes import forms
from whisperopt import registry
from whisperopt.backend import Tier
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.process import Failure, call
from whisperopt.reasons import because

WHOLE = Queried(version="2026.4.1", taken=3)


def test_a_plugin_that_takes_every_node_passes() -> None:
    passed, reason = judge({"encoder": WHOLE, "decoder": WHOLE})
    assert passed
    assert reason == "the CPU plugin takes all nodes: 3 of the encoder, 3 of the decoder"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Queried(version="1", refused="Exception from x.cpp:1:\nNo rule."), "it: No rule"),
        (
            Queried(version="1", taken=2, left=(("If", "a"), ("If", "b"), ("Loop", "c"))),
            "does not take If x2, Loop x1 (for example a)",
        ),
        (Queried(version="1"), "no node"),
        ("it took over 120 s", "OpenVINO failed, it took over 120 s"),
    ],
)
def test_anything_else_fails_and_names_the_part(found: Queried | str, told: str) -> None:
    passed, reason = judge({"encoder": WHOLE, "decoder": found})
    assert not passed
    assert reason.startswith("decoder: ")
    assert told in reason


def test_the_backend_offers_it() -> None:
    (one,) = registry.require("openvino").rehearsals()
    assert (one.name, one.tier) == ("openvino", Tier.STRUCTURAL)


def test_without_openvino_it_is_not_tried(
    small_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "find_spec", lambda _name: None)
    artifact = forms.write(small_checkpoint, LADDER[0], tmp_path / "made")
    rehearsed = OpenVinoRehearsal().run(artifact, tmp_path)
    assert rehearsed.passed is None
    assert rehearsed.reason.startswith("not tried: OpenVINO is not installed. pip install")


def test_a_script_that_fails_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = Failure(because("process.no-answer"))
    monkeypatch.setattr(rehearsal, "call", lambda *_args, **_more: failure)
    assert rehearsal.query(Path("decoder.onnx")) == "it gave no answer"


def test_a_script_that_hangs_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(*arguments: object, **more: object) -> object:
        return call(*arguments, **{**more, "seconds": 0.01})

    monkeypatch.setattr(rehearsal, "call", impatient)
    assert rehearsal.query(tmp_path / "decoder.onnx") == "it took over 0.01 s"


@pytest.mark.parametrize("name", ["mha-int8", "gqa-fp32"])
def test_the_plugin_takes_every_node(
    name: str, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="pip install 'whisperopt[openvino]'")
    artifact = forms.write(small_checkpoint, named(name), tmp_path / "made")
    rehearsed = OpenVinoRehearsal().run(artifact, tmp_path)
    assert rehearsed.passed, rehearsed.reason
    assert rehearsed.version


def test_a_static_batch_of_two_fails_with_openvinos_reason(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="pip install 'whisperopt[openvino]'")
    artifact = forms.write(small_checkpoint, named("gqa-fp32"), tmp_path / "made")
    fix_batch(artifact, 2)
    rehearsed = OpenVinoRehearsal().run(artifact, tmp_path)
    assert rehearsed.passed is False
    assert "GroupQueryAttention is only supported for batch_size == 1" in rehearsed.reason
    assert "encoder" not in rehearsed.reason
