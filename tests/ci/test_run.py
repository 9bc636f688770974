"""`ci/run` builds one cell and leaves its report, its log and its exit status as files."""

import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.makers import write_huggingface
from tests.pipeline.recordings import write_clips

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None, reason="ci/run is a bash script and there is no bash"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "small"
    write_huggingface(folder)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips") / "short", spoken=2)


def run(*arguments: str | Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, **{k: str(v) for k, v in variables.items()}}
    command = ["bash", str(ROOT / "ci/run"), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=600
    )


def test_cell_is_built_and_proven(model: Path, clips: Path, tmp_path: Path) -> None:
    answer = run("cpu", tmp_path, WHISPEROPT_MODEL=model, WHISPEROPT_CLIPS=clips)
    cell = tmp_path / "cpu"
    log = (cell / "build.log").read_text("utf-8")
    assert answer.returncode == 0, log
    assert (cell / "exit").read_text("utf-8") == "0\n"
    assert answer.stdout == ""
    assert "cpu-gqa-fp32: proving" in log
    assert log in answer.stderr
    report = json.loads((cell / "report.json").read_bytes())
    (target,) = report["targets"]
    assert (target["name"], target["tier"]) == ("cpu", "measured")
    assert (cell / "release" / "catalog.json").is_file()
    assert (cell / "summary.md").read_text("utf-8").startswith("### small: The target has")
    if shutil.which("chromium"):
        assert (cell / "report.png").read_bytes().startswith(b"\x89PNG")
    else:
        assert "Chromium is not installed" in answer.stderr
    assert (cell / "release" / f"small--{target['selected']}" / "decoder.onnx").is_file()


def test_failed_build_is_the_scripts_own_failure(tmp_path: Path) -> None:
    answer = run("cpu", tmp_path, WHISPEROPT_MODEL=tmp_path / "absent")
    assert answer.returncode == 2
    assert (tmp_path / "cpu" / "exit").read_text("utf-8") == "2\n"
    assert "There is no folder" in (tmp_path / "cpu" / "build.log").read_text("utf-8")


def test_unknown_target_names_the_nearest(model: Path, tmp_path: Path) -> None:
    answer = run("cudaa", tmp_path, WHISPEROPT_MODEL=model)
    assert answer.returncode == 2
    assert "Did you mean 'cuda'?" in answer.stderr


@pytest.mark.parametrize("arguments", [[], ["cpu"], ["../cpu", "out"], ["--help", "out"]])
def test_wrong_usage_writes_nothing(arguments: list[str], tmp_path: Path) -> None:
    answer = run(*[str(tmp_path / one) if one == "out" else one for one in arguments])
    assert answer.returncode == 2
    assert "usage: ci/run TARGET OUT" in answer.stderr
    assert list(tmp_path.iterdir()) == []
