"""Proofs that are killed: nothing is lost, nothing half-written counts, and nobody stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from whisperopt.evaluate import prover
from whisperopt.evaluate.evidence import Evidence, Sample
from whisperopt.evaluate.journal import Journal
from whisperopt.evaluate.prover import NoEvidence, prove
from whisperopt.evaluate.trial import Request

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")


def test_a_proof_that_is_killed_goes_on_where_it_stopped(request_: Request) -> None:
    killed = prove(request_, lambda line: _kill_child() if line == "clip 4 of 5" else None)
    assert isinstance(killed, NoEvidence)
    assert "SIGKILL" in killed.reason
    assert not request_.out.exists()
    finished = Journal(request_.journal).samples()
    assert [sample.clip for sample in finished][:3] == [f"audio/{n}.wav" for n in range(3)]
    _tear(request_.journal / "samples.jsonl", finished[0])

    made = prove(request_, lambda _line: None)
    assert isinstance(made, Evidence)
    # the very nanoseconds: these were not decoded again
    assert made.samples[1 : 1 + len(finished)] == finished
    assert [s.clip for s in made.samples if not s.warm_up] == [f"audio/{n}.wav" for n in range(5)]
    assert Journal(request_.journal).samples() == made.samples[1:]


def _kill_child() -> None:
    (child,) = psutil.Process().children()
    os.kill(child.pid, signal.SIGKILL)


def _tear(journal: Path, sample: Sample) -> None:
    """Write the first half of a line, as a kill in the middle of a write would leave it."""
    line = msgspec.json.encode(msgspec.structs.replace(sample, clip="audio/4.wav", text="torn"))
    with journal.open("ab") as file:
        file.write(line[: len(line) // 2])


def test_an_interrupted_build_leaves_no_trial_behind(
    monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    monkeypatch.setattr(prover, "_COMMAND", (sys.executable, "-c", code))
    with pytest.raises(KeyboardInterrupt):
        prover.prove(request_, interrupt)
    assert not psutil.pid_exists(pids[0])


_CHILD = """
import os, sys, time
from pathlib import Path
from whisperopt.evaluate import trial
def wait(_name):
    print(os.getpid(), flush=True)
    time.sleep(60)
trial.registry.require = wait
trial.main(Path(sys.argv[1]))
"""
_PARENT = f"""
import sys
from pathlib import Path
import msgspec
from whisperopt.evaluate import prover
from whisperopt.evaluate.trial import Request
request = msgspec.json.decode(
    Path(sys.argv[1]).read_bytes(), type=Request, dec_hook=lambda kind, value: kind(value)
)
prover._COMMAND = (sys.executable, "-c", {_CHILD!r})
prover.prove(request, lambda line: print(line, flush=True))
"""


def test_a_trial_ends_by_itself_when_its_build_is_killed(
    tmp_path: Path, request_: Request
) -> None:
    path = tmp_path / "request.json"
    path.write_bytes(msgspec.json.encode(request_, enc_hook=str))
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(path)], stdout=subprocess.PIPE, text=True
    ) as build:
        assert build.stdout is not None
        said = next(line for line in build.stdout if line.strip().isdigit())
        trial = psutil.Process(int(said))
        build.kill()
        build.wait()
        deadline = time.monotonic() + 30
        while trial.is_running() and trial.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.1)
