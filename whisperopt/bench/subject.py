"""Run as `python -m`: opens one artifact, hears the clips, and tells how long what took."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from whisperopt import artifact as artifacts
from whisperopt import isolated, registry
from whisperopt.artifact import Artifact
from whisperopt.bench.figures import Load, Observed, Played, parts
from whisperopt.bench.watch import Watch
from whisperopt.errors import WhisperoptError
from whisperopt.runtime import first_open

if TYPE_CHECKING:
    from whisperopt.backend import Session
    from whisperopt.evaluate.clips import Clip, ClipSet
    from whisperopt.runtime.hearing import Ear, Sound


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to open and to hear."""

    artifact: str
    manifest: str
    rounds: int
    threads: int | None
    profile: bool


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    observed: Observed | None = None
    problem: str = ""


def reply(raw: dict[str, Any]) -> dict[str, Any]:
    """Answer a `Request` with what `understood` takes."""
    try:
        answer = _Answer(observed=_observe(msgspec.convert(raw, Request)))
    except WhisperoptError as error:
        answer = _Answer(problem=str(error))
    found: dict[str, Any] = msgspec.to_builtins(answer)
    return found


def understood(raw: dict[str, Any]) -> Observed | str:
    """Return what `reply` found, or why there is nothing."""
    answer = msgspec.convert(raw, _Answer)
    return answer.observed or answer.problem


def _observe(request: Request) -> Observed:
    from whisperopt.evaluate import clips
    from whisperopt.processes import peak_rss_bytes

    watch, stages = Watch(), _Stages()
    artifact, ear = _opened(request, watch, stages)
    decoding = artifact.manifest.decoding
    clip_set = clips.read(Path(request.manifest)).within(
        artifact.manifest.dims.window, decoding.known_languages
    )
    spoken = [clip for clip in clip_set.clips if clip.spoken]
    sounds = [_sound(clip_set, clip, multilingual=decoding.multilingual) for clip in spoken]
    first_word = _first_word(ear, watch, sounds[0])
    heard = [_play(ear, watch, sound, request.rounds) for sound in sounds]
    peak = peak_rss_bytes()
    played, notes = _judged(spoken, heard)
    operators: dict[str, dict[str, tuple[int, float]]] = {}
    if request.profile:
        operators, told = _operators(artifact, request.threads, sounds[len(sounds) // 2])
        notes += told
    return Observed(
        load=Load(first_word=first_word, **stages.milliseconds),
        clips=tuple(played),
        peak_rss_bytes=peak,
        operators=operators,
        notes=(*clip_set.left_out, *notes),
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


def _opened(request: Request, watch: Watch, stages: _Stages) -> "tuple[Artifact, Ear]":
    from whisperopt.runtime.hearing import Ear
    from whisperopt.runtime.tokenizer import Tokenizer

    stages.done("imports")
    artifact = artifacts.read(Path(request.artifact))
    first_open.known(artifact)
    stages.done("verify")
    session = first_open.open_session(artifact, threads=request.threads)
    stages.done("open")
    tokenizer = Tokenizer(artifact.tokenizer, artifact.manifest.decoding.end_of_text)
    stages.done("text")
    return artifact, Ear(artifact, watch.over(session, ("encode",)), watch.over(tokenizer))


def _sound(clip_set: "ClipSet", clip: "Clip", *, multilingual: bool) -> "Sound":
    from whisperopt.runtime.hearing import Sound

    return Sound(clip_set.samples(clip), clip.language if multilingual else None)


def _first_word(ear: "Ear", watch: Watch, sound: "Sound") -> float:
    """Return the milliseconds until the decoder has answered for the first time."""
    started = watch.clock()
    ear.listen([sound])
    words = (one for one in watch.take() if one.name not in {"encode", "reset"})
    return (next(words).ended - started) / 1e6


def _play(ear: "Ear", watch: Watch, sound: "Sound", rounds: int) -> Played:
    from whisperopt.whisper import SAMPLE_RATE

    found, text = [], ""
    for _ in range(rounds):
        started = watch.clock()
        (heard,) = ear.listen([sound])
        found.append(parts(watch.take(), started, watch.clock()))
        text = heard.text
    seconds = sound.samples.size / SAMPLE_RATE
    return Played(file="", seconds=seconds, text=text, rounds=tuple(found))


def _judged(clips: "list[Clip]", heard: list[Played]) -> tuple[list[Played], tuple[str, ...]]:
    """Name the clips and count their errors; without the package that counts there is a note."""
    named = [
        msgspec.structs.replace(one, file=clip.file)
        for clip, one in zip(clips, heard, strict=True)
    ]
    try:
        from whisperopt.evaluate import words

        found = []
        for clip, one in zip(clips, named, strict=True):
            errors = words.count(clip.text, one.text, clip.language) if clip.text else None
            if errors:
                one = msgspec.structs.replace(one, edits=errors.edits, units=errors.units)  # noqa: PLW2901
            found.append(one)
    except ModuleNotFoundError as error:
        return named, (f"words are not compared: the package {error.name} is not installed",)
    return found, ()


def _operators(
    artifact: Artifact, threads: int | None, sound: "Sound"
) -> tuple[dict[str, dict[str, tuple[int, float]]], tuple[str, ...]]:
    """Ask the runtime's own profiler, where the backend knows one, in a session of its own."""
    from whisperopt.runtime.hearing import Ear
    from whisperopt.runtime.tokenizer import Tokenizer

    backend: Any = registry.require(artifact.manifest.backend)
    if not hasattr(backend, "operators"):
        return {}, (f"the backend {backend.name} has no profiler of operators",)
    tokenizer = Tokenizer(artifact.tokenizer, artifact.manifest.decoding.end_of_text)

    def play(session: "Session") -> None:
        Ear(artifact, session, tokenizer).listen([sound])

    try:
        return backend.operators(artifact, play, threads=threads), ()
    except WhisperoptError as error:
        return {}, (f"operators were not timed: {error.problem}",)


if __name__ == "__main__":
    isolated.answer(reply)
