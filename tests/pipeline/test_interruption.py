"""A build that is killed: the next one goes on with what was proven, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import whisperopt
from tests.pipeline.recordings import write_clips
from whisperopt import cache, matrix
from whisperopt.evaluate import evidence as evidences
from whisperopt.evaluate.evidence import Sample
from whisperopt.evaluate.journal import ResumeLog
from whisperopt.release import catalog
from whisperopt.results import folder

_BUILD = """
import sys
import whisperopt
from whisperopt import matrix
from pathlib import Path
model, clips, out, rows = sys.argv[1:]
whisperopt.build(
    model,
    target="cpu",
    out=out,
    clips=clips,
    matrix=matrix.load(Path(rows)),
    progress=lambda name, doing: print(name, doing, flush=True),
)
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A matrix in which the CPU has only one recipe to try."""
    packaged = Path(matrix.__file__).parent.parent / "targets.toml"
    text = re.sub(
        r"(\[targets\.cpu\]\n)", r'\1recipes = ["gqa-fp32"]\n', packaged.read_text("utf-8")
    )
    path = tmp_path / "rows.toml"
    path.write_text(text, "utf-8")
    return path


def noted() -> dict[str, list[Sample]]:
    """Return what the journals hold: the core model's, which has its numbers, and the variant's."""
    return {
        "core" if (path / "references").is_dir() else "variant": ResumeLog(path).samples()
        for path in cache.folder("proofs").iterdir()
    }


def kill_while_proving(model: Path, clips: Path, out: Path, rows: Path) -> None:
    """Build in a process of its own, and kill it, and not its trial, at the variant's third clip."""
    command = [sys.executable, "-c", _BUILD, *map(str, (model, clips, out, rows))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as build:
        assert build.stdout is not None
        seen = ""
        while "cpu-gqa-fp32 proving" not in seen or "clip 3 of 5" not in seen.split("proving")[1]:
            line = build.stdout.readline()
            assert line, seen
            seen += line
        trials = psutil.Process(build.pid).children()
        os.kill(build.pid, signal.SIGKILL)
        build.wait()
    deadline = time.monotonic() + 30
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in trials):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_a_build_that_is_killed_goes_on_where_it_stopped(
    model: Path, tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    clips, out = write_clips(tmp_path / "clips"), tmp_path / "release"
    kill_while_proving(model, clips, out, rows)
    assert not (out / catalog.NAME).exists()
    notes = noted()
    core, variant = notes["core"], notes["variant"]
    assert len(core) == 5
    assert 2 <= len(variant) <= 5

    whisperopt.build(str(model), target="cpu", out=out, clips=clips, matrix=matrix.load(rows))
    entry = catalog.read(out).model("small")
    answers, _ = folder.read_answers([out], entry.answers[0])
    evidence = evidences.read(out / entry.variants[0].evidence[0].report)
    # the very nanoseconds: what was finished was not decoded again
    assert answers.evidence.samples[1:] == core
    assert evidence.samples[1 : 1 + len(variant)] == variant
    assert len(evidence.samples) == 6
    assert not list(out.glob(".*"))
    assert noted() == {}
