"""Questions asked in a process of its own: whatever a runtime does there is a reason here."""

import contextlib
import faulthandler
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from whisperopt.errors import BadInputError

_INSIDE = "WHISPEROPT_ISOLATED"
"""Set inside such a process to its time limit: it starts no other of its kind."""
_PATIENCE = 5
_LONGEST = 300


def seconds(variable: str, default: float) -> float:
    """Return the time limit that an environment variable sets, or `default`."""
    text = os.environ.get(variable)
    if text is None:
        return default
    try:
        limit = float(text)
    except ValueError:
        limit = 0
    if not 0 < limit < float("inf"):
        raise BadInputError(
            f"{variable} is {text!r}", "Set it to a number of seconds, or unset it"
        )
    return limit


def possible() -> bool:
    """Say whether this Python can start another one: a frozen app has none, one inside must not."""
    name = Path(sys.executable or "").name.lower()
    frozen = getattr(sys, "frozen", False)
    return name.startswith(("python", "pypy")) and not frozen and _INSIDE not in os.environ


def command(module: str) -> list[str]:
    """Return what runs `module` in another Python."""
    return [sys.executable, "-P", "-m", module]


def environment(limit: float) -> dict[str, str]:
    """Return the variables of a process that sees this one's packages and knows its time limit."""
    path = os.pathsep.join(dict.fromkeys(entry for entry in sys.path if entry))
    return {**os.environ, "PYTHONPATH": path, _INSIDE: f"{limit:g}"}


def ask(module: str, request: Mapping[str, Any], *, limit: float) -> dict[str, Any] | str | None:
    """Run `python -m MODULE` with `request`; return its answer, or why there is none.

    It sees the packages that this process sees. None: no other Python can be started here.
    """
    if not possible():
        return None
    answer = call(command(module), request, seconds=limit, environment=environment(limit))
    if isinstance(answer, str) and "No module named 'whisperopt" in answer:
        return None  # found here by other means than a path
    return answer


def answer(reply: Callable[[dict[str, Any]], dict[str, Any]]) -> NoReturn:
    """Be the process that is asked: hand the request to `reply`, print its answer, and end.

    What a runtime prints goes to stderr, and what it does at the end of a process is not awaited.
    """
    output = stdout()
    end_with_parent()
    if limit := os.environ.get(_INSIDE):  # ends it even when nobody waits any more
        faulthandler.dump_traceback_later(
            float(limit) + _PATIENCE,
            exit=True,
            file=Path(os.devnull).open("w"),  # noqa: SIM115
        )
    json.dump(reply(json.load(sys.stdin)), output)
    output.flush()
    os._exit(0)


def stdout() -> TextIO:
    """Return this process's stdout, and send to stderr whatever else is written there."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return output


def call(
    command: Sequence[str | Path],
    request: Mapping[str, Any],
    *,
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any] | str:
    """Run `command` with `request` as JSON on stdin; return the object on its last line.

    A crash, a hang, an abort, or anything else on the last line is a reason.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  # our own scripts
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",  # a runtime may print anything
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        return f"{command[0]} cannot be started: {error.strerror}"
    try:
        output, errors = process.communicate(json.dumps(request), timeout=seconds)
    except subprocess.TimeoutExpired:
        return too_long(seconds)
    finally:
        if process.poll() is None:
            _kill(process)
    if process.returncode:
        return crash(process.returncode, errors.strip() or output.strip())
    try:
        said = json.loads(output.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return "it gave no answer"
    return said if isinstance(said, dict) else "it gave no answer"


def too_long(seconds: float) -> str:
    """Say that there was no answer in time."""
    return f"it took over {seconds:g} s"


def crash(status: int, said: str) -> str:
    """Say how a process ended that ended badly, with the last line of what it `said`."""
    lines = said.splitlines()
    last = f": {lines[-1].strip()[:_LONGEST]}" if lines else ""
    if status < 0:
        names = {one.value: one.name for one in signal.Signals}
        name = names.get(-status, f"signal {-status}")
        return f"the runtime aborted the process ({name}){last}"
    shown = (
        f"{status:#x}" if status > 255 else str(status)
    )  # Windows tells crashes by such numbers
    return f"it ended with exit status {shown}{last}"


def kill(process: "subprocess.Popen[Any]") -> None:
    """End a process that leads a session of its own, and whatever it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def end_with_parent() -> None:
    """Let this process end when the one that started it is ended from outside."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when `parent` was ended from outside; Windows does not tell."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _kill(process: "subprocess.Popen[str]") -> None:
    """End the process; what still holds its pipes is not awaited."""
    kill(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_PATIENCE)
