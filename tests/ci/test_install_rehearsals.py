"""`ci/install-rehearsals` refuses before it installs, and one that fails is told."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "ci" / "install-rehearsals"
pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None, reason="ci/install-rehearsals is a bash script, there is no bash"
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The script beside two rehearsals of the test's own: one installs, one cannot."""
    fragments = tmp_path / "ci" / "rehearsals"
    fragments.mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "ci")
    (fragments / "good.sh").write_text('mkdir -p "$1"; touch "$1/here"\n')
    (fragments / "bad.sh").write_text("exit 7\n")
    return tmp_path / "ci" / SCRIPT.name


def install(script: Path, *names: str, homes: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(script), *names],
        capture_output=True,
        text=True,
        check=False,
        cwd=script.parents[1],
        env={**os.environ, "WHISPEROPT_REHEARSALS": str(homes)},
        timeout=60,
    )


def test_one_that_fails_is_told_and_leaves_the_others_alone(copy: Path, tmp_path: Path) -> None:
    answer = install(copy, "bad", "good", homes=tmp_path / "homes")
    assert answer.returncode == 1
    assert "Not installed: bad" in answer.stderr
    assert (tmp_path / "homes" / "good" / "here").is_file()


@pytest.mark.parametrize("wrong", ["nonsense", "mesa", "--help"])
def test_unknown_name_is_refused_before_anything_is_installed(
    copy: Path, tmp_path: Path, wrong: str
) -> None:
    (copy.parent / "rehearsals" / "mesa.sh").write_text("exit 0\n")
    answer = install(copy, "good", wrong, homes=tmp_path / "homes")
    assert answer.returncode == 2
    assert f"no rehearsal {wrong}" in answer.stderr
    assert not (tmp_path / "homes").exists()


def test_relative_home_is_beside_the_caller(copy: Path, tmp_path: Path) -> None:
    assert install(copy, "good", homes="homes").returncode == 0
    assert (tmp_path / "homes" / "good" / "here").is_file()
