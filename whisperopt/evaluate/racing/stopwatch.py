"""Run as `python -m`: opens one artifact and decodes what it is told to, again and again, timed.

It is spoken to in lines of JSON: first a `Course`, then one `Turn` after another; it answers each
with a line, `Ready` first. It ends with its stdin, or with the process that started it.
"""

import os
import sys
import time
from pathlib import Path

import msgspec

from whisperopt import artifact as artifacts
from whisperopt import isolated, registry
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate.evidence import Count, Nanoseconds, Seconds
from whisperopt.processes import peak_rss_bytes
from whisperopt.runtime import audio, context, greedy
from whisperopt.whisper import SAMPLE_RATE

_GLANCE_SECONDS = 0.02
_CALM = 0.1
_LONGEST_REST_SECONDS = 5.0


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A file to hear, and the language that is spoken in it."""

    path: str
    language: str


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What to open, and what will be played."""

    artifact: str
    threads: int | None
    recordings: tuple[Recording, ...]


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The artifact is open and the recordings, of so many seconds, are in memory."""

    load_ns: Nanoseconds
    max_batch: int | None
    seconds: tuple[Seconds, ...]


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """Which recordings to decode now, in one batch; none: rest until somebody else is done."""

    recordings: tuple[int, ...] = ()


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """How long a turn took."""

    total_ns: Nanoseconds


class Rested(msgspec.Struct, frozen=True, kw_only=True):
    """No thread of this process computes any more."""

    peak_rss_bytes: Count


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no other answer."""

    problem: str


def main() -> None:
    """Answer stdin line by line."""
    output = isolated.stdout()
    isolated.end_with_parent()
    watch: _Stopwatch | None = None
    for line in sys.stdin:
        answer: Ready | Timed | Rested | Failed
        try:
            if watch is None:
                watch = _Stopwatch(msgspec.json.decode(line, type=Course))
                answer = watch.ready
            else:
                answer = watch.take(msgspec.json.decode(line, type=Turn))
        except WhisperoptError as error:
            answer = Failed(problem=str(error).rstrip("."))
        except Exception as error:  # noqa: BLE001  # a backend's or runtime's own
            said = (str(error).strip() or "no reason given").splitlines()[0]
            answer = Failed(problem=f"{type(error).__name__}: {said}")
        output.write(msgspec.json.encode(answer).decode() + "\n")
        output.flush()
    os._exit(0)  # what a runtime does at the end of a process is not awaited


class _Stopwatch:
    def __init__(self, course: Course) -> None:
        artifact = artifacts.read(Path(course.artifact))
        manifest = artifact.manifest
        self._dims, self._decoding = manifest.dims, manifest.decoding
        self._audio_tail = manifest.recipe.audio_tail
        self._sounds = [audio.read(Path(one.path)) for one in course.recordings]
        known = self._decoding.languages
        self._prompts = [
            self._decoding.prompt(one.language if one.language in known else None)
            for one in course.recordings
        ]
        backend = registry.require(manifest.backend)
        started = time.perf_counter_ns()
        self._session = backend.open(artifact, threads=course.threads)
        self.ready = Ready(
            load_ns=time.perf_counter_ns() - started,
            max_batch=self._session.max_batch,
            seconds=tuple(sound.size / SAMPLE_RATE for sound in self._sounds),
        )

    def take(self, turn: Turn) -> Timed | Rested:
        if not turn.recordings:
            _rest()
            return Rested(peak_rss_bytes=peak_rss_bytes())
        return Timed(total_ns=self._decode(turn.recordings))

    def _decode(self, recordings: tuple[int, ...]) -> int:
        """Do what a user waits for: features, encoder, and text until all have ended."""
        started = time.perf_counter_ns()
        sounds = [self._sounds[index] for index in recordings]
        decoder = context.encode(
            self._session, *context.prepare(sounds, self._dims, self._audio_tail)
        )
        prompts = [self._prompts[index] for index in recordings]
        greedy.decode(decoder, self._decoding, prompts, self._dims.text_context // 2)
        return time.perf_counter_ns() - started


def _rest() -> None:
    """Wait until this process uses next to no processor: idle threads of a runtime may spin."""
    ends = time.monotonic() + _LONGEST_REST_SECONDS
    busy = 1.0
    while busy > _CALM and time.monotonic() < ends:
        before, started = time.process_time(), time.monotonic()
        time.sleep(_GLANCE_SECONDS)
        busy = (time.process_time() - before) / (time.monotonic() - started)


if __name__ == "__main__":
    main()
