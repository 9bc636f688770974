"""One variant in a race, in a process of its own: however that ends is a reason here."""

import contextlib
import queue
import subprocess
import tempfile
import threading
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from whisperopt import isolated
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate.racing.stopwatch import Course, Failed, Ready, Rested, Timed, Turn

LIMIT = "WHISPEROPT_LAP_SECONDS"
"""The variable that says how long one decoding may take; opening may take three times as long."""

_SECONDS = 300
_FIRST = 3
_MODULE = "whisperopt.evaluate.racing.stopwatch"
_END_SECONDS = 5

Answer = TypeVar("Answer", Ready, Timed, Rested)


class Runner:
    """A process that opens one artifact and decodes on demand."""

    def __init__(self) -> None:
        """Start the process; `WhisperoptError` says why that is impossible."""
        if not isolated.possible():
            raise WhisperoptError("no other Python can be started from this process")
        self._limit = isolated.seconds(LIMIT, _SECONDS)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        self._lines: queue.Queue[str | None] = queue.Queue()
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                isolated.command(_MODULE),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                encoding="utf-8",
                errors="replace",
                env=isolated.environment(self._limit),
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise WhisperoptError(f"no process can be started: {error.strerror}") from None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        """Be closed when the block ends."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    def open(self, course: Course) -> Ready:
        """Open what `course` says; raise `WhisperoptError` with the reason if that fails."""
        return self._ask(course, Ready, self._limit * _FIRST)

    def take(self, recordings: tuple[int, ...], *, first: bool = False) -> int:
        """Decode a batch and return the nanoseconds; `first`: it may take as long as opening."""
        limit = self._limit * (_FIRST if first else 1)
        return self._ask(Turn(recordings=recordings), Timed, limit).total_ns

    def rest(self) -> int:
        """Wait until its threads are idle; return the most bytes of memory that it has used."""
        return self._ask(Turn(), Rested, self._limit).peak_rss_bytes

    def close(self) -> None:
        """End the process and whatever it started."""
        if self._process.poll() is None:
            isolated.kill(self._process)
        self._process.wait()
        self._reader.join(_END_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):  # a question that nobody read
                if stream:
                    stream.close()

    def _ask(self, question: Course | Turn, kind: type[Answer], limit: float) -> Answer:
        self._write(msgspec.json.encode(question).decode() + "\n")
        try:
            line = self._lines.get(timeout=limit)
        except queue.Empty:
            raise WhisperoptError(isolated.too_long(limit)) from None
        if line is None:
            raise WhisperoptError(self._last_words())
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError:
            raise WhisperoptError(_problem(line)) from None

    def _write(self, line: str) -> None:
        stdin = self._process.stdin
        try:
            if stdin:
                stdin.write(line)
                stdin.flush()
        except OSError:  # it has ended: its last words follow
            self._lines.put(None)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)

    def _last_words(self) -> str:
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip()
        return isolated.crash(status, said) if status else "it gave no answer"


def _problem(line: str) -> str:
    try:
        return msgspec.json.decode(line, type=Failed).problem
    except msgspec.DecodeError:
        return "it gave no answer that can be understood"
