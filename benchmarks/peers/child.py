"""The process of one engine: reads requests on its input, answers on what was its output."""

import os
import sys
import time
from collections.abc import Callable
from typing import BinaryIO

import msgspec
import numpy as np

from benchmarks.peers.engine import Engine, Made, Opened, Order, Source
from whisperopt.host.memory import peak_rss_bytes
from whisperopt.runtime.arrays import Floats


class Make(msgspec.Struct, frozen=True, tag="make"):
    """Make the model of `engine` from `source`; answered by `Made`."""

    engine: str
    source: Source


class Open(msgspec.Struct, frozen=True, tag="open"):
    """Open `engine`; answered by `Ready`."""

    engine: str
    order: Order


class Listen(msgspec.Struct, frozen=True, tag="listen"):
    """Recordings of `sizes` samples follow as float32; answered by `Heard`."""

    sizes: tuple[int, ...]
    language: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is loaded."""

    settings: str
    folder: str


class Heard(msgspec.Struct, frozen=True, tag="heard"):
    """What was said, how long it took, in wall time and in that of all cores, and the memory."""

    texts: tuple[str, ...]
    wall_ns: int
    cpu_ns: int
    peak_rss: int


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Why there is no answer, in one line."""

    reason: str


class Done(msgspec.Struct, frozen=True, tag="made"):
    """The model lies on the disk."""

    made: Made


Request = Make | Open | Listen
Answer = Ready | Heard | Failed | Done


def serve(questions: BinaryIO, answers: BinaryIO, named: Callable[[str], Engine]) -> None:
    """Answer until the questions end; a failure is an answer too."""
    opened: Opened | None = None
    while line := questions.readline():
        request = msgspec.json.decode(line, type=Request)
        try:
            if isinstance(request, Make):
                answer: Answer = Done(named(request.engine).make(request.source))
            elif isinstance(request, Open):
                opened = named(request.engine).open(request.order)
                answer = Ready(opened.settings, opened.folder)
            else:
                answer = _heard(request, [_samples(questions, n) for n in request.sizes], opened)
        except Exception as error:  # noqa: BLE001  # whatever a peer raises is its row's reason
            answer = Failed(_reason(error))
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.flush()


def _heard(request: Listen, clips: list[Floats], opened: Opened | None) -> Answer:
    if opened is None:
        return Failed("nothing was opened")
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    texts = opened.listen(clips, request.language)
    wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    return Heard(tuple(texts), wall, cpu, peak_rss_bytes())


def _samples(questions: BinaryIO, size: int) -> Floats:
    return np.frombuffer(questions.read(4 * size), np.float32)


def _reason(error: Exception) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
    return f"{type(error).__name__}: {first.strip()[:300]}"


def main(named: Callable[[str], Engine]) -> None:
    """Serve the parent; what libraries print goes to the log."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers, named)


if __name__ == "__main__":
    from benchmarks.peers import engines

    main(engines.named)
