"""What a rehearsal says without the real parser, and with a broken one."""

import sys
from pathlib import Path

import pytest
from whisperopt.backends.tensorrt import BACKEND
from whisperopt.backends.tensorrt import rehearsal as stage
from whisperopt.backends.tensorrt.recipes import DEVICE, RTX
from whisperopt.backends.tensorrt.rehearsal import TensorRtRehearsal

from tests.passes.forms import form
from whisperopt.artifact import Artifact
from whisperopt.process import Failure
from whisperopt.reasons import because
from whisperopt.rehearsal import rehearse


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No rehearsal is installed."""
    monkeypatch.setenv("WHISPEROPT_REHEARSALS", str(tmp_path))
    return tmp_path / "tensorrt"


def pretend(place: Path, answer: str) -> None:
    """Install a rehearsal whose interpreter answers `answer` to everything."""
    python = place / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!{sys.executable}\nprint({answer!r})\n")
    python.chmod(0o755)
    (place / "pins").write_text("tensorrt-rtx==9.9 other==1\n")


def test_what_is_not_installed_is_not_tried(
    nowhere: Path, small_artifact: Artifact, tmp_path: Path
) -> None:
    probe = TensorRtRehearsal().probe()
    assert not probe.ready
    assert "ci/install-rehearsals tensorrt" in probe.remedy
    (answer,) = rehearse(small_artifact, [TensorRtRehearsal()], tmp_path)
    assert answer.passed is None
    assert answer.reason.startswith("not tried: ")


def test_the_installed_version_is_told(nowhere: Path) -> None:
    pretend(nowhere, "{}")
    assert TensorRtRehearsal().probe().version == "9.9"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("nonsense", "it gave no answer"),
        ('{"version": "9.9"}', "its answer cannot be understood"),
        ('{"parsed": true}', "no engine was asked for"),
    ],
)
def test_a_useless_answer_does_not_pass(
    answer: str, reason: str, nowhere: Path, small_artifact: Artifact, tmp_path: Path
) -> None:
    pretend(nowhere, answer)
    (rehearsed,) = rehearse(small_artifact, [TensorRtRehearsal()], tmp_path)
    assert rehearsed.passed is False
    assert reason in rehearsed.reason


def test_plug_ins_are_for_tensorrt_for_rtx_alone(
    nowhere: Path, small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(nowhere, "{}")
    asked: list[bool] = []

    def compiled(*arguments: object, plug_ins: bool) -> Failure:
        asked.append(plug_ins)
        return Failure(because("process.no-answer"))

    monkeypatch.setattr(stage, "compile_graph", compiled)
    for recipe in BACKEND.recipes():
        asked.clear()
        manifest = form(small_artifact.manifest, recipe=recipe)
        TensorRtRehearsal().run(Artifact(small_artifact.path, manifest), tmp_path)
        assert asked == [recipe.options.get(DEVICE) == RTX] * 2
