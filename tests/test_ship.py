"""docs/ship.md, followed literally: every block, one after another, in one folder.

What is not as on the page: `build` copies a release that was built before, of a made-up model with
another name, `validate` gets the few clips that it was proven on, and the server gets a free port.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden import models
from tests.golden.contracts import HERE, RELEASES
from whisperopt.evaluate import race
from whisperopt.release import provenance
from whisperopt.release.documents import BOM, CARD

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "ship.md").read_text("utf-8")
BUILT = RELEASES / "catalog-2.0"
SECONDS = 600.0

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = """#!/bin/sh
if [ "$1" = build ]; then mkdir -p out && exec cp -r "$BUILT" out/mini; fi
if [ "$1" = validate ]; then set -- "$@" --clips "$CLIPS" --matrix "$MATRIX"; fi
exec python -c 'from whisperopt.cli import main; main()' "$@"
"""


def script() -> str:
    """Return all blocks of the page as one script that stops at the first failure."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page = PAGE.replace("tiny.en", "mini").replace("8000", str(port))
    lines = ["set -euo pipefail"]
    for number, (language, text) in enumerate(_BLOCK.findall(page)):
        runs = {"sh": text, "python": f"python - <<'PYTHON'\n{text}PYTHON\n"}
        lines += [f"echo '== block {number}'", runs[language]]
    return "\n".join(lines)


def run(text: str, folder: Path, tools: Path) -> tuple[int, str]:
    """Run a script in `folder`, and end whatever it left in the background."""
    tools.mkdir()
    (tools / "whisperopt").write_text(_COMMAND)
    (tools / "whisperopt").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if "WHISPEROPT" not in name}
    environment = kept | {
        "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), kept["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "BUILT": str(BUILT),
        "CLIPS": str(models.write_clips(tools / "clips")),
        "MATRIX": str(HERE / "two.toml"),
        "WHISPEROPT_CACHE": str(tools / "cache"),
        race.ROUNDS: "5",
    }
    output = tools / "output"
    with output.open("wb") as stream:  # a pipe would stay open as long as the server
        process = subprocess.Popen(
            ["bash", "-c", text],
            cwd=folder,
            env=environment,
            start_new_session=True,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        try:
            code = process.wait(SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return code, output.read_text("utf-8", "replace")


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """What is there once every block was run: the folder, the exit code and the output."""
    folder = tmp_path_factory.mktemp("ship")
    models.write_sound(folder / "speech.wav", 1.0)
    return folder, *run(script(), folder, folder.with_name("tools"))


def test_every_block_runs(followed: tuple[Path, int, str]) -> None:
    folder, code, output = followed
    assert code == 0, output
    assert (folder / "app" / "whisperopt.lock").is_file()
    assert (folder / "app" / "models" / "mini" / "encoder.onnx").is_file()
    assert not (folder / "app" / "models" / "mini" / "repository.json").exists()
    assert "1.0.0.post1" in output
    assert "it hears a word in noise" in output


def test_the_page_names_what_the_documents_hold() -> None:
    for name in (CARD, BOM, provenance.BUILD_TYPE, provenance.BUILDER):
        assert f"`{name}`" in PAGE


def test_a_block_that_fails_is_a_failure(tmp_path: Path) -> None:
    code, output = run("set -e\nwhisperopt list --no-such\necho on", tmp_path, tmp_path / "tools")
    assert code == 2, output
    assert "\non" not in output
