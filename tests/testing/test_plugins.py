"""Plug-ins that are broken are listed with their reasons and break nothing beside them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from whisperopt.backend import API

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "whisperopt-example-backend"
BROKEN = {
    "absent": ("import a_driver_that_nobody_has", "ModuleNotFoundError"),
    "dated": (f"class BACKEND:\n    api = {API + 1}\n    name = 'dated'", f"API {API + 1}"),
    "loud": ("raise SystemError('no firmware')", "SystemError: no firmware"),
    "silent": ("BACKEND = None", "API none"),
    "dying": ("import os\nos._exit(7)", "7"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example and, beside it, backends of every kind of brokenness."""
    folder = tmp_path_factory.mktemp("site")
    source = (EXAMPLE / "whisperopt_example.py").read_text("utf-8")
    install(folder, "example", source, module="whisperopt_example")
    for name, (content, _) in BROKEN.items():
        install(folder, name, content, module=f"broken_{name}")
    return folder


def install(folder: Path, name: str, source: str, *, module: str) -> None:
    metadata = folder / f"whisperopt_{name}_backend-1.0.dist-info"
    metadata.mkdir()
    description = f"Metadata-Version: 2.1\nName: whisperopt-{name}-backend\nVersion: 1.0\n"
    (metadata / "METADATA").write_text(description, "utf-8")
    points = f"[whisperopt.backends]\n{name} = {module}:BACKEND\n"
    (metadata / "entry_points.txt").write_text(points, "utf-8")
    (folder / f"{module}.py").write_text(source, "utf-8")


def whisperopt(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with `site` on the path of this and every further process."""
    names = ",".join(["cpu", "example", *BROKEN])
    return subprocess.run(
        [sys.executable, "-c", "from whisperopt.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(site), "WHISPEROPT_BACKENDS": names},
    )


def test_doctor_lists_each_with_its_reason(site: Path) -> None:
    answer = whisperopt(site, "doctor", "--json")
    assert answer.returncode == 0, answer.stderr
    assert "Traceback" not in answer.stderr
    backends = json.loads(answer.stdout)["backends"]
    assert set(backends) == {"cpu", "example", *BROKEN}
    for name, (_, reason) in BROKEN.items():
        assert reason in backends[name]["reason"], name
    assert backends["cpu"]["reason"] is backends["example"]["reason"] is None


def test_a_target_of_a_sound_backend_is_shown_beside_them(site: Path) -> None:
    answer = whisperopt(site, "targets", "--matrix", str(EXAMPLE / "mine.toml"), "--json")
    assert answer.returncode == 0, answer.stderr
    (row,) = json.loads(answer.stdout)
    assert row["name"] == "example"
    assert row["recipes"] == ["plain-fp32", "plain-int8"]


def test_a_target_of_a_broken_backend_is_one_sentence(site: Path, tmp_path: Path) -> None:
    text = (EXAMPLE / "mine.toml").read_text("utf-8")
    matrix = tmp_path / "mine.toml"
    matrix.write_text(text.replace('backend = "example"', 'backend = "loud"'), "utf-8")
    answer = whisperopt(
        site,
        "build",
        "--matrix",
        str(matrix),
        "--target",
        "example",
        "--out",
        str(tmp_path / "out"),
    )
    assert answer.returncode == 2
    assert "'loud' of whisperopt-loud-backend" in answer.stderr
    assert "no firmware" in answer.stderr
    assert "Traceback" not in answer.stderr
