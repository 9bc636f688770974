"""Measures variants on this machine: how fast and how right, and where the time goes."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from whisperopt import artifact as artifacts
from whisperopt import process, registry
from whisperopt.artifact import Artifact
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate.bench.figures import (
    Load,
    Measured,
    Observed,
    Parts,
    Played,
    Watch,
    measured,
    parts,
)
from whisperopt.process import Failure
from whisperopt.runtime import first_open

if TYPE_CHECKING:
    from whisperopt.backend import Session
    from whisperopt.evaluate.clips import Clip
    from whisperopt.runtime.recognizer import AudioChunk, Recognizer

__all__ = ["bench"]

LIMIT = "WHISPEROPT_BENCH_SECONDS"
"""The variable that says how long one variant may take."""

_SECONDS = 3600
_Operators = dict[str, dict[str, tuple[int, float]]]


class BenchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to open and to hear."""

    artifact: Path
    manifest: Path
    rounds: int
    threads: int | None
    profile: bool


def bench(
    artifacts: Iterable[Artifact],
    *,
    manifest: Path | None = None,
    rounds: int = 3,
    threads: int | None = None,
    profile: bool = False,
    progress: Callable[[str, str], None] = lambda _name, _doing: None,
) -> tuple[Measured, ...]:
    """Play the clips of `manifest`, by default our own, to each of `artifacts`.

    Each runs in a process of its own; what goes wrong there is its `problem`. With `profile` the
    runtime's own profiler is asked for operators, too.
    """
    from whisperopt.evaluate import clips

    clip_set = clips.read(manifest or clips.packaged())
    found = []
    for artifact in artifacts:
        name = artifact.manifest.variant
        progress(name, "hearing the clips")
        request = BenchRequest(
            artifact=artifact.path,
            manifest=clip_set.manifest,
            rounds=rounds,
            threads=threads,
            profile=profile,
        )
        found.append(measured(name, artifact.manifest.model, _observed(request)))
    return tuple(found)


def _observed(request: BenchRequest) -> Observed | str:
    """Ask a process of its own, or this one where no other can be started."""
    limit = process.seconds(LIMIT, _SECONDS)
    answer = process.ask(observe, request, limit=limit)
    if not isinstance(answer, Failure):
        return answer
    if answer != process.IMPOSSIBLE:
        return str(WhisperoptError(answer.reason)) if answer.certain else str(answer)
    try:
        return observe(request)
    except WhisperoptError as error:
        return str(error)


def observe(request: BenchRequest) -> Observed:
    """Open one artifact, hear every clip so many rounds, and count the errors: in any process."""
    watch, stages = Watch(), _Stages()
    artifact, recognizer = _opened(request, watch, stages)
    from whisperopt.evaluate import clips
    from whisperopt.process import peak_rss_bytes
    from whisperopt.runtime.recognizer import AudioChunk
    from whisperopt.whisper import SAMPLE_RATE

    decoding = artifact.manifest.decoding
    clip_set = clips.read(request.manifest).within(
        artifact.manifest.dims.window, decoding.known_languages
    )
    spoken = [clip for clip in clip_set.clips if clip.spoken]
    audio = [
        AudioChunk(clip_set.samples(clip), clip.language if decoding.multilingual else None)
        for clip in spoken
    ]
    first_word = _first_word(recognizer, watch, audio[0])
    heard = [_heard(recognizer, watch, chunk, request.rounds) for chunk in audio]
    peak = peak_rss_bytes()
    played = [
        Played(file=clip.file, seconds=chunk.samples.size / SAMPLE_RATE, text=text, rounds=rounds)
        for clip, chunk, (text, rounds) in zip(spoken, audio, heard, strict=True)
    ]
    notes = list(clip_set.left_out)
    try:
        played = [_judged(clip, one) for clip, one in zip(spoken, played, strict=True)]
    except ModuleNotFoundError as error:
        notes.append(f"words are not compared: the package {error.name} is not installed")
    operators: _Operators = {}
    if request.profile:
        operators = _profiled(artifact, request.threads, audio[len(audio) // 2], notes)
    return Observed(
        load=Load(first_word=first_word, **stages.milliseconds),
        clips=tuple(played),
        peak_rss_bytes=peak,
        operators=operators,
        notes=tuple(notes),
    )


class _Stages:
    """The stages of starting; the first begins with the process."""

    def __init__(self) -> None:
        import psutil

        self._since = psutil.Process().create_time()
        self.milliseconds: dict[str, float] = {}

    def done(self, name: str) -> None:
        now = time.time()
        self.milliseconds[name] = 1e3 * max(0.0, now - self._since)
        self._since = now


def _opened(request: BenchRequest, watch: Watch, stages: _Stages) -> "tuple[Artifact, Recognizer]":
    from whisperopt.runtime.recognizer import Recognizer
    from whisperopt.runtime.tokenizer import Tokenizer

    stages.done("imports")
    artifact = artifacts.read(request.artifact)
    first_open.known(artifact)
    stages.done("verify")
    session = first_open.open_session(artifact, threads=request.threads)
    stages.done("open")
    tokenizer = Tokenizer(artifact.tokenizer, artifact.manifest.decoding.end_of_text)
    stages.done("text")
    watched = watch.over(session, ("encode",))
    return artifact, Recognizer(artifact, watched, watch.over(tokenizer))


def _first_word(recognizer: "Recognizer", watch: Watch, audio: "AudioChunk") -> float:
    """Return the milliseconds until the decoder has answered for the first time."""
    started = watch.clock()
    recognizer.recognize([audio])
    answers = (event for event in watch.take() if event.name not in {"encode", "reset"})
    return (next(answers).ended - started) / 1e6


def _heard(
    recognizer: "Recognizer", watch: Watch, audio: "AudioChunk", rounds: int
) -> tuple[str, tuple[Parts, ...]]:
    found, text = [], ""
    for _ in range(rounds):
        started = watch.clock()
        (said,) = recognizer.recognize([audio])
        found.append(parts(watch.take(), started, watch.clock()))
        text = said.text
    return text, tuple(found)


def _judged(clip: "Clip", played: Played) -> Played:
    from whisperopt.evaluate import words

    if not clip.text:
        return played
    errors = words.count(clip.text, played.text, clip.language)
    return msgspec.structs.replace(played, edits=errors.edits, units=errors.units)


def _profiled(
    artifact: Artifact, threads: int | None, audio: "AudioChunk", notes: list[str]
) -> _Operators:
    """Ask the runtime's own profiler, where the backend knows one, in a session of its own."""
    from whisperopt.runtime.recognizer import Recognizer

    backend: Any = registry.require(artifact.manifest.backend)
    if not hasattr(backend, "operators"):
        notes.append(f"the backend {backend.name} has no profiler of operators")
        return {}

    def play(session: "Session") -> None:
        Recognizer(artifact, session).recognize([audio])

    try:
        found: _Operators = backend.operators(artifact, play, threads=threads)
    except WhisperoptError as error:
        notes.append(f"operators were not timed: {error.problem}")
        return {}
    return found
