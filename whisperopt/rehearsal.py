"""Rehearsals: proofs by a real runtime without its device.

A rehearsal hands a variant to the runtime's own partitioner or compiler, or executes it on a
software device. Each has a home folder with what it needs (an interpreter with the runtime, stub
libraries, drivers), apart from whisperopt's own environment: the wheels overwrite each other.
`ci/install-rehearsals` fills the homes; what is missing is a reason, never an error.
"""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from whisperopt import cache
from whisperopt.backend import Probe, Tier

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact

INSTALL = "Run `ci/install-rehearsals {name}` of whisperopt's repository (Debian, as root)"


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of one rehearsal of one variant."""

    name: str
    runtime: str
    version: str | None = None
    passed: bool | None
    """None: it was not tried, and `reason` says why."""
    reason: str
    """What was shown, or what is wrong, in one sentence."""
    facts: dict[str, str] = {}


class Rehearsal(Protocol):
    """One way to prove variants of a backend without the device."""

    @property
    def name(self) -> str:
        """Its name and that of its home folder, e.g. `cuda`."""
        ...

    @property
    def summary(self) -> str:
        """What it proves, in a few words."""
        ...

    @property
    def tier(self) -> Tier:
        """What a pass is worth: `structural`, or `emulated` if the graphs were really computed."""
        ...

    def probe(self) -> Probe:
        """Say whether this machine can do it, and how to make it so; never raises."""
        ...

    def run(self, artifact: "Artifact", scratch: Path) -> Rehearsed:
        """Rehearse `artifact` in processes of its own with time limits; never raises.

        `scratch` is an empty folder to write to.
        """
        ...


def home(name: str) -> Path:
    """Return the folder of the rehearsal `name`: in `WHISPEROPT_REHEARSALS`, else in the cache."""
    chosen = os.environ.get("WHISPEROPT_REHEARSALS")
    return (Path(chosen) if chosen else cache.folder("rehearsals")) / name


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
        _kill(process)
        return f"it took over {seconds:g} s"
    if process.returncode:
        return _crash(process.returncode, output, errors)
    try:
        answer = json.loads(output.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return "it gave no answer"
    return answer if isinstance(answer, dict) else "it gave no answer"


def _kill(process: "subprocess.Popen[str]") -> None:
    """End the process and whatever it started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()


def _crash(status: int, output: str, errors: str) -> str:
    lines = (errors.strip() or output.strip()).splitlines()
    last = f": {lines[-1]}" if lines else ""
    if status < 0:
        names = {one.value: one.name for one in signal.Signals}
        return f"the runtime aborted the process ({names.get(-status, -status)}){last}"
    return f"it ended with exit status {status}{last}"
