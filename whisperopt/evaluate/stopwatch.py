"""Opens one artifact and decodes what it is told to, again and again, timed.

Handlers of `whisperopt.process`: the process that they work in keeps open what it opened.
"""

import functools
import time
from pathlib import Path

import msgspec

from whisperopt import artifact as artifacts
from whisperopt import registry
from whisperopt.evaluate.evidence import Count, Nanoseconds, Seconds
from whisperopt.process import peak_rss_bytes
from whisperopt.runtime import audio
from whisperopt.runtime.recognizer import AudioChunk, Recognizer
from whisperopt.whisper import SAMPLE_RATE

_GLANCE_SECONDS = 0.02
_CALM = 0.1
_LONGEST_IDLE_SECONDS = 5.0


class TimedClip(msgspec.Struct, frozen=True, kw_only=True):
    """A file to play, and the language that is spoken in it."""

    path: Path
    language: str


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to open, and what will be played."""

    artifact: Path
    threads: int | None
    clips: tuple[TimedClip, ...]


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The artifact is open and the clips, of so many seconds, are in memory."""

    load_ns: Nanoseconds
    max_batch: int | None
    seconds: tuple[Seconds, ...]


class RunBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Which clips of what was opened to decode now, in one batch."""

    opened: OpenRequest
    clips: tuple[int, ...]


def load(request: OpenRequest) -> Loaded:
    """Open what is to be timed."""
    return _session(request)[0]


def run_batch(request: RunBatch) -> Nanoseconds:
    """Do what a user waits for, from samples to text, and return how long it took."""
    _, recognizer, clips = _session(request.opened)
    batch = [clips[index] for index in request.clips]
    started = time.perf_counter_ns()
    recognizer.recognize(batch)
    return time.perf_counter_ns() - started


def idle(_request: None) -> Count:
    """Wait until this process uses next to no processor, whose idle threads may spin.

    Return the most memory that it has used.
    """
    ends = time.monotonic() + _LONGEST_IDLE_SECONDS
    busy = 1.0
    while busy > _CALM and time.monotonic() < ends:
        before, started = time.process_time(), time.monotonic()
        time.sleep(_GLANCE_SECONDS)
        busy = (time.process_time() - before) / (time.monotonic() - started)
    return peak_rss_bytes()


@functools.cache
def _session(request: OpenRequest) -> tuple[Loaded, Recognizer, list[AudioChunk]]:
    artifact = artifacts.read(request.artifact)
    known = artifact.manifest.decoding.languages
    clips = [
        AudioChunk(audio.read(clip.path), clip.language if clip.language in known else "en")
        for clip in request.clips
    ]
    backend = registry.require(artifact.manifest.backend)
    started = time.perf_counter_ns()
    session = backend.open(artifact, threads=request.threads)
    opened = Loaded(
        load_ns=time.perf_counter_ns() - started,
        max_batch=session.max_batch,
        seconds=tuple(clip.samples.size / SAMPLE_RATE for clip in clips),
    )
    return opened, Recognizer(artifact, session), clips
