"""Trials in processes of their own: whatever a runtime does, the build learns why."""

import dataclasses
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from tests.proof.samples import HOST, evidence
from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.errors import WhisperoptError
from whisperopt.proof import prover, trial
from whisperopt.proof.evidence import Evidence, read
from whisperopt.proof.prover import NoEvidence
from whisperopt.proof.trial import FAILED, Request


@pytest.fixture
def request_(tmp_path: Path, small_artifact: Artifact) -> Request:
    """A request to prove the small core model on five short clips, three of them spoken."""
    lines = []
    random = np.random.default_rng(0)
    for index, kind in enumerate(("noise", "speech", "speech", "silence", "speech")):
        volume = 0.0 if kind == "silence" else 0.1
        wave = volume * random.standard_normal(4800)
        (tmp_path / "audio").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "audio" / f"{index}.wav", wave.astype(np.float32), 16_000)
        lines.append(
            msgspec.json.encode({"file": f"audio/{index}.wav", "kind": kind, "text": "hello"})
        )
    (tmp_path / "manifest.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "references").mkdir()
    return Request(
        artifact=small_artifact.path,
        digest="sha256:0",
        tier=Tier.MEASURED,
        host=HOST,
        host_class=HOST.host_class("cpu", "onnxruntime"),
        manifest=tmp_path / "manifest.jsonl",
        references=tmp_path / "references",
        is_core=True,
        threads=1,
        out=tmp_path / "evidence.json",
    )


def run(monkeypatch: pytest.MonkeyPatch, request: Request, script: str) -> Evidence | NoEvidence:
    """Run `script` in place of a trial; `path` is its request."""
    code = f"import os, sys, time\npath = sys.argv[1]\n{script}"
    monkeypatch.setattr(prover, "_COMMAND", (sys.executable, "-c", code))
    return prover.prove(request, lambda _line: None, stall_seconds=5)


def reason(outcome: Evidence | NoEvidence) -> str:
    assert isinstance(outcome, NoEvidence)
    return outcome.reason


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), 40)", "signal 40"),
        ("sys.stderr.write('terminate called\\n'); os.abort()", "(SIGABRT): terminate called"),
    ],
)
def test_a_crash_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, request_: Request, script: str, words: str
) -> None:
    assert words in reason(run(monkeypatch, request_, script))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("raise RuntimeError('no kernel for X')", "exit status 1: RuntimeError: no kernel for X"),
        ("sys.exit(3)", "exit status 3"),
        ("pass", "exit status 0"),
        (f"print('clip 1'); print('No device.'); sys.exit({FAILED})", "No device"),
        (f"sys.exit({FAILED})", "failed and gave no reason"),
        ("print('a' * 100_000); sys.exit(1)", "exit status 1"),
        ("sys.stdout.buffer.write(b'\\xff\\n'); sys.exit(1)", "exit status 1"),
        (
            "open(path.replace('.request.json', '.json'), 'w').write('{}')",
            "its evidence cannot be understood",
        ),
    ],
)
def test_an_end_without_evidence_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, request_: Request, script: str, words: str
) -> None:
    assert words in reason(run(monkeypatch, request_, script))


@pytest.mark.parametrize(
    "script",
    ["time.sleep(60)", "print('clip 1', flush=True); os.close(1); time.sleep(60)"],
    ids=["silent", "closed"],
)
def test_a_hang_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, request_: Request, script: str
) -> None:
    monkeypatch.setattr(
        prover,
        "_COMMAND",
        (sys.executable, "-c", f"import os, sys, time\n{script}"),
    )
    outcome = prover.prove(request_, lambda _line: None, stall_seconds=1)
    assert reason(outcome) == "hung: no progress for 1 s"


def test_slow_is_not_hung_as_long_as_it_reports(
    monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    script = "for i in range(10): print(i, flush=True); time.sleep(0.25)\nsys.exit(1)"
    code = f"import sys, time\n{script}"
    monkeypatch.setattr(prover, "_COMMAND", (sys.executable, "-c", code))
    seen: list[str] = []
    outcome = prover.prove(request_, seen.append, stall_seconds=2)
    assert "exit status 1" in reason(outcome)
    assert seen == [str(i) for i in range(10)]


def test_what_a_trial_writes_is_returned(
    monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    made = evidence()
    kept = request_.out.with_name("made.json")
    kept.write_bytes(msgspec.json.encode(made))
    script = f"import shutil; shutil.copy({str(kept)!r}, path.replace('.request.json', '.json'))"
    assert run(monkeypatch, request_, script) == made


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
    import psutil

    assert not psutil.pid_exists(pids[0])


def test_a_real_trial_proves_the_core_model_against_itself(request_: Request) -> None:
    seen: list[str] = []
    made = prover.prove(request_, seen.append)
    assert isinstance(made, Evidence)
    assert "clip 5 of 5" in seen
    assert [s.clip for s in made.samples if not s.warm_up] == [f"audio/{i}.wav" for i in range(5)]
    assert [s.warm_up for s in made.samples] == [True, *[False] * 5]
    assert all(s.agreements == s.positions for s in made.samples)
    assert made.batch_agreement == pytest.approx(1)
    assert made.peak_rss_bytes > 2**20
    assert made.activations is None


def test_emulation_uses_every_nth_clip_of_a_kind(request_: Request) -> None:
    assert trial.main(_written(request_)) == 0
    later = msgspec.structs.replace(
        request_, is_core=False, tier=Tier.EMULATED, stride=2, out=request_.out.with_name("e.json")
    )
    assert trial.main(_written(later)) == 0
    made = read(later.out)
    used = [s.clip for s in made.samples if not s.warm_up]
    assert used == ["audio/0.wav", "audio/1.wav", "audio/4.wav"]
    assert made.tier is Tier.EMULATED
    assert all(s.cosine == pytest.approx(1, abs=1e-5) for s in made.samples)


@dataclasses.dataclass
class BrokenSession:
    """A session whose decoder gives NaN, or whose runtime says why it does not open."""

    real: object
    max_batch = 1
    placement: dict[str, int] = dataclasses.field(default_factory=dict)

    def encode(self, features: np.ndarray) -> object:
        decoder = self.real.encode(features)  # type: ignore[attr-defined]
        step = decoder.step
        decoder.step = lambda ids: step(ids) * np.float32("nan")
        return decoder


def test_values_that_are_no_numbers_are_a_reason(
    request_: Request,
    small_artifact: Artifact,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert trial.main(_written(request_)) == 0
    real = registry.require("cpu").open(small_artifact, threads=1)

    class Backend:
        def open(self, _artifact: Artifact, *, threads: int | None = None) -> BrokenSession:
            return BrokenSession(real)

    monkeypatch.setattr(trial.registry, "require", lambda _name: Backend())
    later = msgspec.structs.replace(request_, is_core=False, out=request_.out.with_name("e.json"))
    assert trial.main(_written(later)) == FAILED
    assert "no numbers for audio/0.wav" in capsys.readouterr().out.splitlines()[-1]
    assert not later.out.exists()


def test_a_runtime_that_does_not_open_gives_its_reason(
    request_: Request, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_name: str) -> object:
        raise WhisperoptError("This CPU computes no bfloat16")

    monkeypatch.setattr(trial.registry, "require", refuse)
    assert trial.main(_written(request_)) == FAILED
    assert capsys.readouterr().out.splitlines()[-1] == "This CPU computes no bfloat16."


def _written(request: Request) -> Path:
    path = request.out.with_suffix(".request.json")
    path.write_bytes(msgspec.json.encode(request, enc_hook=str))
    return path
