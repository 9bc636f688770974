"""Runs trials in processes of their own: a crash, a hang or an abort is a reason, never the end."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import msgspec

from whisperopt import isolated
from whisperopt.evaluate import evidence as evidences
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.trial import FAILED, RAISED, Request

STALL_SECONDS = 900
"""A trial that reports no progress for this long has hung: a GPU's engines are built on opening."""

_SHORT_OF_MEMORY = ("memory", "alloc")

Progress = Callable[[str], None]
_COMMAND = (sys.executable, "-P", "-m", "whisperopt.evaluate.trial")


class NoEvidence(msgspec.Struct, frozen=True):
    """A trial that ended without evidence."""

    reason: str
    certain: bool = False
    """Whether the variant is refused, and did not raise, crash or hang, or lack memory."""


def prove(
    request: Request, progress: Progress, *, stall_seconds: float = STALL_SECONDS
) -> Evidence | NoEvidence:
    """Run one trial and return what it wrote, or why it wrote nothing."""
    path = request.out.with_suffix(".request.json")
    path.write_bytes(msgspec.json.encode(request, enc_hook=str))
    request.out.unlink(missing_ok=True)  # what an earlier trial wrote says nothing of this one
    errors = request.out.with_suffix(".stderr")
    with errors.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603  # our own module
            [*_COMMAND, str(path)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            errors="replace",  # a runtime may print anything
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        last_line, hung = _follow(process, progress, stall_seconds)
    if hung:
        return NoEvidence(f"hung: no progress for {stall_seconds:g} s")
    if process.returncode in {FAILED, RAISED}:
        short = any(word in last_line.lower() for word in _SHORT_OF_MEMORY)
        reason = last_line.rstrip(".") or "failed and gave no reason"
        return NoEvidence(reason, certain=process.returncode == FAILED and not short)
    if process.returncode != 0 or not request.out.is_file():
        return NoEvidence(
            isolated.crash(process.returncode, errors.read_text("utf-8", "replace").strip())
        )
    try:
        return evidences.read(request.out)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return NoEvidence(f"its evidence cannot be understood: {error}")


def _follow(
    process: subprocess.Popen[str], progress: Progress, stall_seconds: float
) -> tuple[str, bool]:
    hung = threading.Event()

    def kill() -> None:
        hung.set()
        process.kill()

    last_line = ""
    if process.stdout is None:
        return last_line, False
    timer = threading.Timer(stall_seconds, kill)
    timer.start()
    try:
        for line in process.stdout:
            timer.cancel()
            timer = threading.Timer(stall_seconds, kill)
            timer.start()
            if line.strip():
                last_line = line.strip()
                progress(last_line)
        process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
    return last_line, hung.is_set()
