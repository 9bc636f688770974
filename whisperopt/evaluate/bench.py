"""Measures variants on this machine: how fast and how right, and where the time goes."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import msgspec
import numpy as np

from whisperopt import artifact as artifacts
from whisperopt import process, registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Session
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate import words
from whisperopt.evaluate.clips import Clip
from whisperopt.host import Gpu, memory
from whisperopt.process import Failure
from whisperopt.runtime import first_open
from whisperopt.runtime.recognizer import AudioChunk, Recognizer
from whisperopt.runtime.tokenizer import Tokenizer
from whisperopt.whisper import SAMPLE_RATE

LIMIT = "WHISPEROPT_BENCH_SECONDS"
"""The variable that says how long one variant may take."""

BUCKETS = (5.0, 10.0, 20.0, 30.0)
"""Upper bounds of clip lengths in seconds; the last bucket has none."""
_SECONDS = 3600


class BenchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to open and to hear."""

    artifact: Path
    adapter: Gpu | None = None
    manifest: Path
    rounds: int
    threads: int | None
    profile: bool


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of starting went, in milliseconds, in a process of its own."""

    imports: float
    """From the start of the process: Python, whisperopt and NumPy."""
    verify: float
    """Is the artifact, on this host as it is, known to be right?"""
    open: float
    """The runtime's import, and both sessions."""
    text: float
    """Reading the tokenizer."""
    first_word: float
    """Features, encoder and the prompt of the first clip."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of listening to one clip went, in milliseconds."""

    mel: float
    """Audio to features, with everything else before the encoder."""
    encoder: float
    prefill: float
    """The decoder's calls on an empty cache: the prompt, and before it the language if unknown."""
    steps: float
    """The decoder's other calls."""
    text: float
    """Tokens to text."""
    python: float
    """The rest: what runs between the calls."""
    calls: int
    """How many calls are in `steps`."""

    @property
    def total(self) -> float:
        """All of it."""
        return sum((self.mel, self.encoder, self.prefill, self.steps, self.text, self.python))


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One clip: what was heard, and the parts of each round."""

    file: str
    seconds: float
    text: str
    rounds: tuple[Parts, ...]
    edits: int | None = None
    """Word errors against the transcript; None: it has none, or nothing here could count."""
    units: int = 0


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """The mean parts of clips of like length."""

    longest: float | None
    """Upper bound in seconds; None: any length."""
    clips: int
    parts: Parts
    step: float
    """Milliseconds of one call of `steps`."""


class OperatorTime(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of operator in one part of the model."""

    part: str
    name: str
    count: int
    share: float
    """Of the part's time in operators."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One variant; without numbers if there is a `problem`."""

    variant: str
    model: str
    problem: str = ""
    clips: int = 0
    rtfx: float | None = None
    """Seconds of audio in a second, one clip at a time."""
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    wer: float | None = None
    """Word errors in percent of the transcripts' words."""
    peak_rss_mb: float | None = None
    load: Load | None = None
    buckets: tuple[Bucket, ...] = ()
    operators: tuple[OperatorTime, ...] = ()
    notes: tuple[str, ...] = ()
    samples: tuple[Played, ...] = ()


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
    clip_set = clip_sets.read(manifest or clip_sets.packaged())
    found = []
    for artifact in artifacts:
        name = artifact.manifest.variant
        progress(name, "hearing the clips")
        request = BenchRequest(
            artifact=artifact.path,
            adapter=artifact.adapter,
            manifest=clip_set.manifest,
            rounds=rounds,
            threads=threads,
            profile=profile,
        )
        answer = _observed(request)
        if isinstance(answer, str):
            answer = Measured(variant=name, model=artifact.manifest.model, problem=answer)
        found.append(answer)
    return tuple(found)


def _observed(request: BenchRequest) -> Measured | str:
    """Ask a process of its own, or this one where no other can be started."""
    answer = process.ask(observe, request, limit=process.bound(LIMIT, _SECONDS))
    if not isinstance(answer, Failure):
        return answer
    if answer != process.IMPOSSIBLE:
        return str(WhisperoptError(answer.reason)) if answer.certain else str(answer)
    try:
        return observe(request)
    except WhisperoptError as error:
        return str(error)


def observe(request: BenchRequest) -> Measured:
    """Open one artifact, hear every clip so many rounds, and count the errors: in any process."""
    import psutil

    moments = [psutil.Process().create_time(), time.time()]
    artifact = artifacts.read(request.artifact, request.adapter)
    first_open.known(artifact)
    moments.append(time.time())
    session = first_open.open_session(artifact, threads=request.threads)
    moments.append(time.time())
    decoding = artifact.manifest.decoding
    tokenizer = Tokenizer(artifact.tokenizer, decoding.end_of_text)
    moments.append(time.time())
    imports, verify, opening, reading = (1e3 * max(0.0, b - a) for a, b in pairwise(moments))

    clip_set = clip_sets.read(request.manifest).within(
        artifact.manifest.dims.window, decoding.known_languages
    )
    spoken = [clip for clip in clip_set.clips if clip.spoken]
    audio = [
        AudioChunk(clip_set.samples(clip), clip.language if decoding.multilingual else None)
        for clip in spoken
    ]
    events: list[Event] = []
    text: Any = Watched(tokenizer, events)
    recognizer = Recognizer(artifact, Watched(session, events, ("encode",)), text)
    first_word = _first_word(recognizer, events, audio[0])
    played = [
        _played(clip, chunk, recognizer, events, request.rounds)
        for clip, chunk in zip(spoken, audio, strict=True)
    ]
    peak_rss_mb = memory.peak_rss_bytes() / 2**20
    notes = list(clip_set.left_out)
    try:
        played = [_judged(clip, heard) for clip, heard in zip(spoken, played, strict=True)]
    except ModuleNotFoundError as error:
        notes.append(f"words are not compared: the package {error.name} is not installed")
    operators: tuple[OperatorTime, ...] = ()
    if request.profile:
        middle = audio[len(audio) // 2]
        operators = tuple(_operators(artifact, request.threads, middle, notes))
    return msgspec.structs.replace(
        summed(artifact.manifest.variant, artifact.manifest.model, played),
        peak_rss_mb=peak_rss_mb,
        load=Load(
            imports=imports, verify=verify, open=opening, text=reading, first_word=first_word
        ),
        operators=operators,
        notes=tuple(notes),
    )


class Event(msgspec.Struct, frozen=True):
    """One call of a method; times in nanoseconds of a clock without a date."""

    name: str
    started: int
    ended: int


class Watched:
    """Stands in for another object: it notes every call of its public methods."""

    def __init__(self, thing: Any, events: list[Event], following: Collection[str] = ()) -> None:
        """Note into `events`; what the methods `following` return is watched in turn."""
        self._thing = thing
        for name in dir(type(thing)):
            if not name.startswith("_") and callable(getattr(type(thing), name)):
                setattr(self, name, _timed(thing, name, events, watched=name in following))

    def __getattr__(self, name: str) -> Any:
        """Return what is no method."""
        return getattr(self._thing, name)


def _timed(thing: Any, name: str, events: list[Event], *, watched: bool) -> Callable[..., Any]:
    """Return a method that notes its calls; it knows no stand-in, whose end frees its caches."""
    method = getattr(thing, name)

    def call(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter_ns()
        result = method(*arguments, **named)
        events.append(Event(name, started, time.perf_counter_ns()))
        return Watched(result, events) if watched else result

    return call


def _first_word(recognizer: Recognizer, events: list[Event], audio: AudioChunk) -> float:
    """Return the milliseconds until the decoder has answered for the first time."""
    started = time.perf_counter_ns()
    recognizer.recognize([audio])
    answers = (event for event in events if event.name not in {"encode", "reset"})
    return (next(answers).ended - started) / 1e6


def _played(
    clip: Clip, audio: AudioChunk, recognizer: Recognizer, events: list[Event], rounds: int
) -> Played:
    found, text = [], ""
    for _ in range(rounds):
        events.clear()
        started = time.perf_counter_ns()
        (said,) = recognizer.recognize([audio])
        found.append(parts(events, started, time.perf_counter_ns()))
        text = said.text
    seconds = audio.samples.size / SAMPLE_RATE
    return Played(file=clip.file, seconds=seconds, text=text, rounds=tuple(found))


def parts(events: Sequence[Event], started: int, ended: int) -> Parts:
    """Divide the time between `started` and `ended` among what was called meanwhile.

    The time before an encoder's call belongs to the features; a decoder's first call, and each
    first one after `reset`, is a prefill.
    """
    spent = dict.fromkeys(("mel", "encoder", "prefill", "steps", "text"), 0)
    free, fresh, calls = started, True, 0
    for event in events:
        match event.name:
            case "reset":
                fresh = True
                continue
            case "hidden_states" | "reorder":
                continue
            case "encode":
                spent["mel"] += event.started - free
                part, fresh = "encoder", True
            case "decode":
                part = "text"
            case _:
                part = "prefill" if fresh else "steps"
                calls += not fresh
                fresh = False
        spent[part] += event.ended - event.started
        free = event.ended
    told = {part: nanoseconds / 1e6 for part, nanoseconds in spent.items()}
    return Parts(**told, python=(ended - started) / 1e6 - sum(told.values()), calls=calls)


def _judged(clip: Clip, played: Played) -> Played:
    if not clip.text:
        return played
    errors = words.count(clip.text, played.text, clip.language)
    return msgspec.structs.replace(played, edits=errors.edits, units=errors.units)


def _operators(
    artifact: Artifact, threads: int | None, audio: AudioChunk, notes: list[str]
) -> Iterator[OperatorTime]:
    """Ask the runtime's own profiler, where the backend knows one, in a session of its own.

    Yield the kinds of each part, what takes longest first.
    """
    backend: Any = registry.require(artifact.manifest.backend)
    if not hasattr(backend, "operators"):
        notes.append(f"the backend {backend.name} has no profiler of operators")
        return

    def play(session: Session) -> None:
        Recognizer(artifact, session).recognize([audio])

    try:
        found: dict[str, dict[str, tuple[int, float]]] = backend.operators(
            artifact, play, threads=threads
        )
    except WhisperoptError as error:
        notes.append(f"operators were not timed: {error.problem}")
        return
    for part, kinds in found.items():
        whole = sum(spent for _, spent in kinds.values()) or 1.0
        for name, (count, spent) in sorted(kinds.items(), key=lambda item: -item[1][1]):
            yield OperatorTime(part=part, name=name, count=count, share=spent / whole)


def summed(variant: str, model: str, played: Sequence[Played]) -> Measured:
    """Add up what was `played` to one variant."""
    times = [median(parts.total for parts in clip.rounds) for clip in played]
    units = sum(clip.units for clip in played)
    return Measured(
        variant=variant,
        model=model,
        clips=len(played),
        rtfx=sum(clip.seconds for clip in played) * 1e3 / max(sum(times), 1e-9),
        latency_ms_p50=median(times),
        latency_ms_p95=float(np.quantile(times, 0.95, method="inverted_cdf")),
        wer=100 * sum(clip.edits or 0 for clip in played) / units if units else None,
        buckets=tuple(_buckets(played)),
        samples=tuple(played),
    )


def _buckets(clips: Iterable[Played]) -> Iterator[Bucket]:
    def bucket(clip: Played) -> float | None:
        return next((bound for bound in BUCKETS if clip.seconds <= bound), None)

    for longest, found in groupby(sorted(clips, key=lambda clip: clip.seconds), bucket):
        played = list(found)
        rounds = [parts for clip in played for parts in clip.rounds]
        mean = {name: fmean(getattr(r, name) for r in rounds) for name in Parts.__struct_fields__}
        calls = round(mean.pop("calls"))
        step = mean["steps"] / calls if calls else 0.0
        yield Bucket(
            longest=longest, clips=len(played), parts=Parts(**mean, calls=calls), step=step
        )
