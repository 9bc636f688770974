"""Proofs that are killed: nothing is lost, nothing half-written counts, and nobody stays behind."""

import os
import signal
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from whisperopt.evaluate.evidence import Evidence, Sample
from whisperopt.evaluate.journal import ResumeLog
from whisperopt.evaluate.trial import NoEvidence, TrialRequest, prove

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")


def test_a_proof_that_is_killed_goes_on_where_it_stopped(request_: TrialRequest) -> None:
    killed = prove(request_, lambda line: _kill_child() if line == "clip 4 of 5" else None)
    assert isinstance(killed, NoEvidence)
    assert "SIGKILL" in killed.reason
    finished = ResumeLog(request_.journal).samples()
    assert [sample.clip for sample in finished][:3] == [f"audio/{n}.wav" for n in range(3)]
    _tear(request_.journal / "samples.jsonl", finished[0])

    made = prove(request_, lambda _line: None)
    assert isinstance(made, Evidence)
    # the very nanoseconds: these were not decoded again
    assert made.samples[1 : 1 + len(finished)] == finished
    assert [s.clip for s in made.samples if not s.warm_up] == [f"audio/{n}.wav" for n in range(5)]
    assert ResumeLog(request_.journal).samples() == made.samples[1:]


def _kill_child() -> None:
    (child,) = psutil.Process().children()
    os.kill(child.pid, signal.SIGKILL)


def _tear(journal: Path, sample: Sample) -> None:
    """Write the first half of a line, as a kill in the middle of a write would leave it."""
    line = msgspec.json.encode(msgspec.structs.replace(sample, clip="audio/4.wav", text="torn"))
    with journal.open("ab") as file:
        file.write(line[: len(line) // 2])


def test_an_interrupted_build_leaves_no_trial_behind(request_: TrialRequest) -> None:
    children: list[psutil.Process] = []

    def interrupt(_line: str) -> None:
        children.extend(psutil.Process().children())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prove(request_, interrupt)
    assert len(children) == 1
    assert not children[0].is_running()
