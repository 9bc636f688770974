"""Where DirectML's rehearsal is possible, and for what."""

from pathlib import Path

import pytest
from whisperopt.backends.directml import rehearsal
from whisperopt.backends.directml.rehearsal import DirectmlRehearsal

from tests.passes import forms
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.rehearsal import rehearse


def test_a_pass_is_worth_as_much_as_real_numbers() -> None:
    assert DirectmlRehearsal().tier is Tier.EMULATED


def test_a_missing_home_is_a_reason_with_the_command(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_REHEARSALS", str(tmp_path))
    probe = DirectmlRehearsal().probe()
    assert not probe.ready
    assert "ci/install-rehearsals directml" in probe.remedy
    (told,) = rehearse(small_artifact, [DirectmlRehearsal()], tmp_path)
    assert told.passed is None
    assert told.reason.startswith("not tried: ")


def test_single_precision_is_not_tried(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert forms.CORE.precisions == {"fp32"}
    monkeypatch.setenv("WHISPEROPT_REHEARSALS", str(tmp_path))
    monkeypatch.setattr(rehearsal.Wine, "problem", lambda _: None)
    (tmp_path / "directml" / "app").mkdir(parents=True)
    (tmp_path / "directml" / "app" / "replay.exe").touch()
    (tmp_path / "directml" / "pins").write_text("onnxruntime-directml==1.24.4\n")
    (told,) = rehearse(small_artifact, [DirectmlRehearsal()], tmp_path)
    assert (told.passed, told.version) == (None, "1.24.4")
    assert "lacks the shaders of anything but half precision" in told.reason
