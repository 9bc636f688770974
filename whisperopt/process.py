"""Work in another process: whatever a runtime does there is an answer here, or a reason.

A handler is a function of a module, from a typed request to a typed answer. `ask` calls it in
another Python, where it may `say` how far it is. A crash, a hang, an abort, an exception: each is
a `Failure`. Requests and what is said are lines of JSON; what a runtime prints goes to stderr.
"""

import contextlib
import faulthandler
import functools
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Literal, NoReturn, TypeVar, get_type_hints

import msgspec

from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.reasons import Reason, because

_INSIDE = "WHISPEROPT_ISOLATED"
"""Set inside such a process: it starts no other of its kind."""
_NEVER = 4e6
_PATIENCE = 5.0
_LONGEST = 300

Request = TypeVar("Request")
Answer = TypeVar("Answer")
_Process = subprocess.Popen[bytes]


class Failure(msgspec.Struct, frozen=True):
    """Why there is no answer."""

    reason: Reason
    certain: bool = False
    """The handler itself refused: another try would end alike."""

    @property
    def late(self) -> bool:
        """Whether time ran out, and nothing else is known to be wrong."""
        return self.reason.code in {"process.too-long", "process.stalled"}

    def __str__(self) -> str:
        """Return the sentence and its remedy, without the last full stop."""
        return str(WhisperoptError(self.reason)).rstrip(".")


IMPOSSIBLE = Failure(because("process.impossible"))
"""No other Python can be started here: there is only this process."""


class _Call(msgspec.Struct):
    handler: str
    """`module:function`."""
    request: msgspec.Raw
    patience: float
    """Seconds of silence after which nobody listens any more."""


class _Said(msgspec.Struct):
    kind: Literal["started", "progress", "failure", "answer"]
    content: msgspec.Raw


class Worker:
    """Another Python that calls one handler after another, for as long as it lives."""

    def __init__(self) -> None:
        """Start it; it sees the packages that this process sees."""
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._started = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        path = os.pathsep.join(dict.fromkeys(entry for entry in sys.path if entry))
        command = [sys.executable, "-P", "-m", "whisperopt.process"]
        variables = {"PYTHONPATH": path, _INSIDE: "1"}
        started = _start(command, variables, self._errors) if possible() else IMPOSSIBLE
        self._failure = started if isinstance(started, Failure) else None
        self._process = None if isinstance(started, Failure) else started
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(
        self,
        handler: Callable[[Request], Answer],
        request: Request,
        *,
        limit: float = _NEVER,
        stall: float = _NEVER,
        progress: Callable[[str], object] = len,
    ) -> Answer | Failure:
        """Return what `handler` makes of `request` within `limit` seconds, or why there is nothing.

        `progress` hears what it says; without a word for `stall` seconds it has hung. A process
        that failed stays so.
        """
        name = f"{handler.__module__}:{handler.__qualname__}"
        content = msgspec.Raw(msgspec.json.encode(request, enc_hook=str))
        self._send(msgspec.json.encode(_Call(name, content, min(limit, stall))) + b"\n")
        for line in self._heard(limit, stall):
            try:
                said = msgspec.json.decode(line, type=_Said)
                match said.kind:
                    case "started":
                        self._started = True
                    case "progress":
                        progress(_decoded(said.content, str))
                    case "failure":
                        failure: Failure = _decoded(said.content, Failure)
                        return failure
                    case "answer":
                        answer: Answer = _decoded(said.content, get_type_hints(handler)["return"])
                        return answer
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if self._started:  # what Python itself loads before that may print anything
                    return _garbled(error)
        return self._failure or Failure(because("process.no-answer"))

    def close(self) -> None:
        """End the process and whatever it started."""
        if self._process:
            _kill(self._process)
            self._reader.join(_PATIENCE)
            with contextlib.suppress(OSError), self._process:
                pass  # its pipes are closed; there may be a request that nobody read
        self._errors.close()

    def _send(self, line: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # it has ended, and its last words say why
            if self._process and self._process.stdin:
                self._process.stdin.write(line)
                self._process.stdin.flush()

    def _heard(self, limit: float, stall: float) -> Iterator[bytes]:
        """Yield lines until time is over or the process ends."""
        ends = time.monotonic() + limit
        while self._failure is None:
            left = ends - time.monotonic()
            try:
                line = self._lines.get(timeout=max(0.0, min(left, stall)))
            except queue.Empty:
                late = ("stalled", stall) if stall < left else ("too-long", limit)
                self._failure = Failure(because(f"process.{late[0]}", seconds=late[1]))
                self.close()
                return
            if line is None:
                self._failure = self._ended()
            else:
                yield line

    def _read(self) -> None:
        for line in (self._process and self._process.stdout) or ():
            self._lines.put(line)
        self._lines.put(None)

    def _ended(self) -> Failure:
        try:
            status = self._process.wait(_PATIENCE) if self._process else 0
        except subprocess.TimeoutExpired:
            return Failure(because("process.closed"))
        if status == 1 and not self._started:
            return IMPOSSIBLE  # that Python does not find whisperopt, which is here by other means
        self._errors.seek(0)
        return how_it_ended(status, self._errors.read().decode("utf-8", "replace"))


def ask(
    handler: Callable[[Request], Answer],
    request: Request,
    *,
    limit: float = _NEVER,
    stall: float = _NEVER,
    progress: Callable[[str], object] = len,
) -> Answer | Failure:
    """Call `handler` in a process of its own: see `Worker.ask`."""
    with contextlib.closing(Worker()) as worker:
        return worker.ask(handler, request, limit=limit, stall=stall, progress=progress)


def ask_script(
    kind: type[Answer],
    command: Sequence[str | Path],
    request: Mapping[str, Any],
    *,
    limit: float,
    environment: Mapping[str, str] | None = None,
) -> Answer | Failure:
    """Run a script with `request` as its stdin; return the object on the last line that it writes.

    That is for other interpreters, which have no whisperopt.
    """
    process = _start(command, environment or {}, subprocess.PIPE)
    if isinstance(process, Failure):
        return process
    try:
        output, errors = process.communicate(msgspec.json.encode(request), timeout=limit)
    except subprocess.TimeoutExpired:
        return Failure(because("process.too-long", seconds=limit))
    finally:
        _kill(process)
        with contextlib.suppress(subprocess.TimeoutExpired, ValueError):
            process.communicate(timeout=_PATIENCE)  # what still holds its pipes is not awaited
    if process.returncode:
        said = errors.strip() or output.strip()
        return how_it_ended(process.returncode, said.decode("utf-8", "replace"))
    try:
        return msgspec.json.decode(output.strip().splitlines()[-1], type=kind)
    except msgspec.ValidationError as error:
        return _garbled(error)
    except (IndexError, msgspec.DecodeError, UnicodeDecodeError):
        return Failure(because("process.no-answer"))


def how_it_ended(status: int, said: str) -> Failure:
    """Say how a process ended that gave no answer, with the last line of what it `said`."""
    lines = said.strip().splitlines()
    last = f": {lines[-1].strip()[:_LONGEST]}" if lines else ""
    if status == 0:
        return Failure(because("process.no-answer"))
    if status < 0:
        known = {number.value: number.name for number in signal.Signals}
        name = known.get(-status, f"signal {-status}")
        return Failure(because("process.crashed", signal=name, last=last))
    shown = f"{status:#x}" if status > 255 else str(status)  # crashes on Windows are known so
    return Failure(because("process.exited", status=shown, last=last))


def bound(variable: str, default: float) -> float:
    """Return the number above 0 that an environment variable sets, or `default`."""
    text = os.environ.get(variable)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise BadInputError(because("process.bound", variable, text=repr(text)))
    return number


def possible() -> bool:
    """Say whether this Python can start another one: a frozen app has none, one inside must not."""
    name = Path(sys.executable or "").name.lower()
    frozen = getattr(sys, "frozen", False)
    return name.startswith(("python", "pypy")) and not frozen and not inside()


def inside() -> bool:
    """Say whether this process is there for a handler alone."""
    return _INSIDE in os.environ


def say(doing: str) -> None:
    """Tell whoever asked how far a handler is; in this very process nobody listens."""
    _say.get()(doing)


def alive(process: int) -> bool:
    """Say whether a process of this machine, as this container sees it, still runs."""
    import psutil

    return 0 < process < 2**31 and bool(psutil.pid_exists(process))


_say: ContextVar[Callable[[str], object]] = ContextVar("say", default=len)


def serve() -> NoReturn:
    """Be the other process: answer stdin line by line, and end with whoever asks.

    What a runtime does at the end of a process is not awaited.
    """
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    def tell(kind: Literal["started", "progress", "failure", "answer"], content: object) -> None:
        raw = msgspec.Raw(msgspec.json.encode(content, enc_hook=str))
        output.write(msgspec.json.encode(_Said(kind, raw)) + b"\n")
        output.flush()

    tell("started", None)
    with Path(os.devnull).open("w") as nowhere:

        def working(doing: str, patience: float) -> None:
            """Tell it; where nothing follows and nobody ends this process, it ends itself."""
            faulthandler.dump_traceback_later(patience + _PATIENCE, exit=True, file=nowhere)
            tell("progress", doing)

        for line in sys.stdin.buffer:
            asked = msgspec.json.decode(line, type=_Call)
            _say.set(functools.partial(working, patience=asked.patience))
            faulthandler.dump_traceback_later(asked.patience + _PATIENCE, exit=True, file=nowhere)
            answer = _answer(asked)
            faulthandler.cancel_dump_traceback_later()
            tell("failure" if isinstance(answer, Failure) else "answer", answer)
    os._exit(0)


def _answer(asked: _Call) -> object:
    """Call the handler; what it raises is a failure."""
    module, _, name = asked.handler.partition(":")
    try:
        handler = getattr(import_module(module), name)
        return handler(_decoded(asked.request, next(iter(get_type_hints(handler).values()))))
    except WhisperoptError as error:
        return Failure(error.reason, certain=True)
    except Exception as error:  # noqa: BLE001  # a backend's or a runtime's own
        traceback.print_exc()
        said = (str(error).strip() or "no reason given").splitlines()[0]
        return Failure(because("process.raised", type(error).__name__, said=said))


def _start(
    command: Sequence[str | Path], variables: Mapping[str, str], errors: IO[bytes] | int
) -> "_Process | Failure":
    """Start a process that leads a session of its own, so that all of it can be ended."""
    try:
        return subprocess.Popen(  # noqa: S603  # our own module or script
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **variables},
            start_new_session=True,
        )
    except OSError as error:
        return Failure(because("process.not-started", command[0], why=error.strerror or ""))


def _kill(process: "_Process") -> None:
    if process.poll() is not None:
        return
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _end_with(parent: int) -> None:
    """End this process when `parent` was ended from outside; Windows does not tell."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _garbled(error: Exception) -> Failure:
    return Failure(because("process.garbled", problem=str(error)))


def _decoded(content: msgspec.Raw, kind: Any) -> Any:
    return msgspec.json.decode(content, type=kind, dec_hook=lambda kind, value: kind(value))


if __name__ == "__main__":
    from whisperopt.process import serve as _serve  # its classes must be those of the handlers

    _serve()
