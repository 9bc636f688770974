"""Trials in processes of their own: whatever a runtime does, the build learns why."""

import sys

import msgspec
import pytest

from tests.evaluate.samples import evidence
from whisperopt.evaluate import prover
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.prover import NoEvidence
from whisperopt.evaluate.trial import FAILED, RAISED, Request


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


WRITE = "open(path.replace('.request.json', '.json'), 'wb').write"


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
        (f"{WRITE}(b'{{}}')", "its evidence cannot be understood"),
        (f'{WRITE}(b\'{{"variant": "\\xff"}}\')', "its evidence cannot be understood"),
    ],
)
def test_an_end_without_evidence_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, request_: Request, script: str, words: str
) -> None:
    assert words in reason(run(monkeypatch, request_, script))


@pytest.mark.parametrize(
    ("script", "certain"),
    [
        (f"print('It is too far off.'); sys.exit({FAILED})", True),
        (f"print('bad alloc'); sys.exit({FAILED})", False),
        (f"print('OSError: Too many open files'); sys.exit({RAISED})", False),
        ("sys.exit(3)", False),
    ],
)
def test_only_the_variants_own_failure_is_certain(
    monkeypatch: pytest.MonkeyPatch, request_: Request, script: str, *, certain: bool
) -> None:
    outcome = run(monkeypatch, request_, script)
    assert isinstance(outcome, NoEvidence)
    assert outcome.certain == certain


def test_evidence_of_an_earlier_trial_is_not_taken_for_this_ones(
    monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    request_.out.write_bytes(msgspec.json.encode(evidence()))
    assert "exit status 0" in reason(run(monkeypatch, request_, "pass"))


@pytest.mark.parametrize(
    "script",
    ["time.sleep(60)", "print('clip 1', flush=True); os.close(1); time.sleep(60)"],
    ids=["silent", "closed"],
)
def test_a_hang_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, request_: Request, script: str
) -> None:
    code = f"import os, sys, time\n{script}"
    monkeypatch.setattr(prover, "_COMMAND", (sys.executable, "-c", code))
    outcome = prover.prove(request_, lambda _line: None, stall_seconds=1)
    assert reason(outcome) == "hung: no progress for 1 s"


def test_slow_is_not_hung_as_long_as_it_reports(
    monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    script = "for i in range(10): print(i, flush=True); time.sleep(0.25)\nsys.exit(1)"
    monkeypatch.setattr(prover, "_COMMAND", (sys.executable, "-c", f"import sys, time\n{script}"))
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
