"""The parent's side of an engine's process: asks, waits, holds it still between its turns."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec
import psutil

from benchmarks.peers.child import Answer, Failed, Listen, Request
from whisperopt.runtime.arrays import Floats

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "benchmarks.peers.child")
_GOODBYE_S = 5


class EngineError(Exception):
    """An engine cannot go on; its text is the reason."""


class Guest:
    """One engine in a process of its own, at rest unless it is asked."""

    def __init__(
        self, log: Path, threads: int, *, limit_s: float, command: Sequence[str] = COMMAND
    ) -> None:
        """Start it with `threads` for OpenMP; an answer later than `limit_s` is none."""
        self._limit_s = limit_s
        self._log: IO[bytes] = log.open("ab")
        self._process = subprocess.Popen(  # noqa: S603  # ourselves
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment(os.environ, threads),
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        self._resting = False

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    def ask(self, request: Request, clips: Sequence[Floats] = ()) -> Answer:
        """Wake it, ask, and return the answer; raise EngineError if there is none."""
        self._rest(still=False)
        watch = threading.Timer(self._limit_s, self._process.kill)
        watch.start()
        try:
            answer = self._asked(request, clips)
        finally:
            late = not watch.is_alive()
            watch.cancel()
        if answer is None:
            raise EngineError(self._ended(late=late))
        if isinstance(answer, Failed):
            raise EngineError(answer.reason)
        self._rest(still=True)
        return answer

    def listen(self, clips: Sequence[Floats], language: str) -> Answer:
        """Let it hear `clips`."""
        return self.ask(Listen(tuple(clip.size for clip in clips), language), clips)

    def close(self) -> None:
        """Let it go; it is made to after a while."""
        if self._process.poll() is None:
            self._rest(still=False)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # it went first
                    continue
        try:
            self._process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _asked(self, request: Request, clips: Sequence[Floats]) -> Answer | None:
        questions, answers = self._process.stdin, self._process.stdout
        if questions is None or answers is None:
            return None
        try:
            questions.write(msgspec.json.encode(request) + b"\n")
            for clip in clips:
                questions.write(clip.astype("<f4").tobytes())
            questions.flush()
        except OSError:
            return None
        line = answers.readline()
        return msgspec.json.decode(line, type=Answer) if line else None

    def _ended(self, *, late: bool) -> str:
        code = self._process.wait()
        if late:
            return f"no answer within {self._limit_s:.0f} s"
        return f"its process ended with code {code}"

    def _rest(self, *, still: bool) -> None:
        """Stop the process, or let it run: pools that spin would take the others' cores."""
        if still != self._resting:
            process = psutil.Process(self._process.pid)
            (process.suspend if still else process.resume)()
            self._resting = still


def environment(own: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the environment of a child: the same threads for every engine's OpenMP."""
    found = [str(ROOT), *filter(None, [own.get("PYTHONPATH")])]
    return {
        **own,
        "PYTHONPATH": os.pathsep.join(found),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
