"""What a bench says, as pure values: parts of the time, times by clip length, rates and errors."""

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from statistics import fmean, median
from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One call of a method; times in nanoseconds of a clock without a date."""

    name: str
    started: int
    ended: int


class Watch:
    """The notes of everything that is watched."""

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        """Read times off `clock`."""
        self.clock, self.events = clock, list[Event]()

    def take(self) -> tuple[Event, ...]:
        """Return what was noted since the last time."""
        taken, self.events = tuple(self.events), []
        return taken

    def over(self, thing: Any, following: Collection[str] = ()) -> Any:
        """Return what stands in for `thing` and notes every call of its public methods.

        `following` names the methods whose results are watched in turn.
        """
        kind = type(thing)
        methods = {
            name: self._timed(name, watched=name in following)
            for name in dir(kind)
            if not name.startswith("_") and callable(getattr(kind, name))
        }
        stand_in = type(f"Watched{kind.__name__}", (_Watched,), methods)
        return stand_in(thing)

    def _timed(self, name: str, *, watched: bool) -> Callable[..., Any]:
        def call(stand_in: "_Watched", *arguments: Any, **named: Any) -> Any:
            method = getattr(stand_in.thing, name)
            started = self.clock()
            try:
                result = method(*arguments, **named)
            finally:
                self.events.append(Event(name, started, self.clock()))
            return self.over(result) if watched else result

        return call


class _Watched:
    """Stands in for another object: what is not a method of that is read from it."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __getattr__(self, name: str) -> Any:
        return getattr(self.thing, name)


BUCKETS = (5.0, 10.0, 20.0, 30.0)
"""Upper bounds of clip lengths in seconds; the last bucket has none."""
_OTHERS = frozenset({"reset", "hidden_states", "reorder"})


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


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What the process of one variant says."""

    load: Load
    clips: tuple[Played, ...]
    peak_rss_bytes: int
    operators: dict[str, dict[str, tuple[int, float]]] = {}
    """Part of the model -> operator -> how many ran, and milliseconds in all."""
    notes: tuple[str, ...] = ()


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


def parts(events: Sequence[Event], started: int, ended: int) -> Parts:
    """Divide the time between `started` and `ended` among what was called meanwhile.

    The time before an encoder's call belongs to the features; a decoder's first call, and each
    first one after `reset`, is a prefill.
    """
    spent = dict.fromkeys(("mel", "encode", "prefill", "steps", "decode"), 0)
    free, fresh, calls = started, True, 0
    for event in events:
        name = event.name
        if name == "encode":
            spent["mel"] += event.started - free
            fresh = True
        elif name in _OTHERS:
            fresh = fresh or name == "reset"
            continue
        elif name != "decode":
            name = "prefill" if fresh else "steps"
            calls += not fresh
            fresh = False
        spent[name] += event.ended - event.started
        free = event.ended
    told = {name: value / 1e6 for name, value in spent.items()}
    return Parts(
        mel=told["mel"],
        encoder=told["encode"],
        prefill=told["prefill"],
        steps=told["steps"],
        text=told["decode"],
        python=(ended - started) / 1e6 - sum(told.values()),
        calls=calls,
    )


def measured(variant: str, model: str, observed: Observed | str) -> Measured:
    """Add up what one variant's process said; a text is the reason why it said nothing."""
    if isinstance(observed, str):
        return Measured(variant=variant, model=model, problem=observed)
    times = [median(one.total for one in clip.rounds) for clip in observed.clips]
    units = sum(clip.units for clip in observed.clips)
    edits = sum(clip.edits or 0 for clip in observed.clips)
    return Measured(
        variant=variant,
        model=model,
        clips=len(times),
        rtfx=sum(clip.seconds for clip in observed.clips) * 1e3 / max(sum(times), 1e-9),
        latency_ms_p50=median(times),
        latency_ms_p95=_quantile(times, 0.95),
        wer=100 * edits / units if units else None,
        peak_rss_mb=observed.peak_rss_bytes / 2**20,
        load=observed.load,
        buckets=tuple(_buckets(observed.clips)),
        operators=tuple(_operators(observed.operators)),
        notes=observed.notes,
        samples=observed.clips,
    )


def _buckets(clips: Iterable[Played]) -> Iterable[Bucket]:
    ordered = sorted(clips, key=lambda clip: clip.seconds)

    def bucket(clip: Played) -> float | None:
        return next((bound for bound in BUCKETS if clip.seconds <= bound), None)

    for longest, found in groupby(ordered, bucket):
        played = list(found)
        mean = _mean([one for clip in played for one in clip.rounds])
        step = mean.steps / mean.calls if mean.calls else 0.0
        yield Bucket(longest=longest, clips=len(played), parts=mean, step=step)


def _mean(rounds: Sequence[Parts]) -> Parts:
    fields = [name for name in Parts.__struct_fields__ if name != "calls"]
    told = {name: fmean(getattr(one, name) for one in rounds) for name in fields}
    return Parts(**told, calls=round(fmean(one.calls for one in rounds)))


def _operators(found: Mapping[str, Mapping[str, tuple[int, float]]]) -> Iterable[OperatorTime]:
    """Yield the kinds of each part, what takes longest first."""
    for part, kinds in found.items():
        whole = sum(spent for _, spent in kinds.values()) or 1.0
        for name, (count, spent) in sorted(kinds.items(), key=lambda item: -item[1][1]):
            yield OperatorTime(part=part, name=name, count=count, share=spent / whole)


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]
