"""A race: in every round each variant in turn decodes the same clips, so none has the quiet hour.

What disturbs the machine for a while disturbs a round of all of them, and what only the first of a
round feels is felt by each in turn. Who has certainly lost drops out; who may win goes on.
"""

import ctypes
import math
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from whisperopt import artifact as artifacts
from whisperopt import process, registry
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate.clips import Clip, ClipSet
from whisperopt.evaluate.evidence import Count, Evidence, Lap, Nanoseconds, Race, Seconds
from whisperopt.evaluate.times import (
    LEAST_ROUNDS,
    MOST_ROUNDS,
    latencies,
    leader,
    lost,
    remaining,
)
from whisperopt.evaluate.trial import NoEvidence
from whisperopt.host import Gpu, memory
from whisperopt.process import Failure, Worker
from whisperopt.reasons import Reason, because
from whisperopt.runtime import audio
from whisperopt.runtime.recognizer import AudioChunk, Recognizer
from whisperopt.whisper import SAMPLE_RATE

LIMIT = "WHISPEROPT_LAP_SECONDS"
"""The variable that says how long one decoding may take; opening may take three times as long."""

ROUNDS = "WHISPEROPT_RACE_ROUNDS"
"""The variable that bounds the rounds of a race: after fewer, more is left undecided."""

NO_TIME = "evaluate.no-time"
_SECONDS = 300
_FIRST = 3
_NEEDED_PER_BYTE = 3
"""Memory that a process takes for each byte of its artifact, roughly, and rather too much."""
_FREE_SHARE = 0.5
_GLANCE_SECONDS = 0.02
_CALM = 0.1
_LONGEST_IDLE_SECONDS = 5.0
_SKEW_SECONDS = 1.0
"""By which two clocks differ over a round if one of them was set, or stood still."""
_MOST_DISTURBED = 3
Progress = Callable[[str], None]
_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


class Most(NamedTuple):
    """What a race takes at most: no round begins that would most likely end later."""

    rounds: int | None = None
    """None: what `WHISPEROPT_RACE_ROUNDS` says, else `MOST_ROUNDS`."""
    seconds: float = math.inf
    clips: int = 3


UNBOUNDED = Most()


class Entrant(NamedTuple):
    """Who takes part, and on which adapter, if there are several."""

    name: str
    folder: Path
    adapter: Gpu | None = None


def timed(
    evidence: Mapping[str, Evidence],
    folders: Mapping[str, Path],
    clip_set: ClipSet,
    *,
    threads: int,
    memory_bytes: int | None,
    groups: Mapping[str, Collection[str]],
    progress: Progress,
    ends: float = math.inf,
) -> dict[str, Evidence | NoEvidence]:
    """Race the variants in `folders`; return their `evidence` with it, or why one fell out.

    `memory_bytes` is what the device has, None for that of the machine; `groups` as for `run`. When
    time `ends`, by the monotonic clock, who ran fewer rounds than a verdict takes keeps the
    evidence without a race.
    """
    entrants = [(name, folders[name]) for name in evidence]
    races = run(
        entrants,
        clip_set,
        most=Most(seconds=ends - time.monotonic()),
        threads=threads,
        memory_bytes=memory_bytes,
        groups=groups,
        progress=progress,
    )
    found: dict[str, Evidence | NoEvidence] = {}
    for name, race in races.items():
        late = race.reason.code == NO_TIME if isinstance(race, Failure) else not enough(race)
        if math.isfinite(ends) and late:
            found[name] = msgspec.structs.replace(evidence[name], race=None)
        elif isinstance(race, Failure):
            found[name] = NoEvidence(str(because("evaluate.race", why=str(race))))
        else:
            found[name] = msgspec.structs.replace(evidence[name], race=race)
    return found


def enough(race: Race) -> bool:
    """Say whether a race went around often enough for a verdict."""
    return len(latencies(race.laps)) >= LEAST_ROUNDS or lost(race)


def run(
    entrants: Sequence[Entrant | tuple[str, Path]],
    clip_set: ClipSet,
    *,
    most: Most = UNBOUNDED,
    threads: int | None = None,
    memory_bytes: int | None = None,
    groups: Mapping[str, Collection[str]] | None = None,
    progress: Progress = lambda _: None,
) -> dict[str, Race | Failure]:
    """Time `entrants`, names and folders first, on a few clips in rounds after a warm-up.

    There are at most as many as `most` says, and as many as it takes to know who wins: see
    `evaluate.times`. In each round each decodes every clip alone, and then, if it takes batches, all
    of them at once. One that crashes, hangs or raises falls out, and the failure says why; the
    others go on. A round in which this machine slept, or in which its clock was set, is run again;
    after too many of those everybody falls out. Of each of the `groups`, such as a target's
    variants, it is found out who wins, not only of all.

    Their processes stay open side by side, asleep, unless memory is too short for that: by default
    what is free, or `memory_bytes`, if a device has less.
    """
    chosen = choose(clip_set, most.clips)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    free = memory.available_bytes()
    files = (file for _, folder, *_ in entrants if folder.is_dir() for file in folder.iterdir())
    needed = sum(file.stat().st_size for file in files) * _NEEDED_PER_BYTE
    apart = needed > min(free, memory_bytes or free) * _FREE_SHARE
    with ExitStack() as stack:
        racers = []
        for name, folder, *adapter in entrants:
            request = OpenRequest(
                artifact=folder,
                adapter=adapter[0] if adapter else None,
                threads=threads,
                folder=clip_set.folder,
                clips=chosen,
            )
            racers.append(_Racer(name, request, apart=apart))
            stack.callback(racers[-1].close)
        _go(racers, most, groups or {}, progress)
        ended = [racer for racer in racers if racer.failure is None]
        rivals = tuple(racer.name for racer in ended)
        laps = {racer.name: racer.laps for racer in ended}
        costs = {name: latencies(own) for name, own in laps.items()}
        # alone, or without a round that counts, there is nothing to compare
        best = laps[leader(costs)] if len(laps) > 1 and all(costs.values()) else []
        return {racer.name: racer.failure or racer.race(rivals, started, best) for racer in racers}


def _go(
    racers: Sequence["_Racer"],
    most: Most,
    groups: Mapping[str, Collection[str]],
    progress: Progress,
) -> None:
    """Run round after round, for as long as there is something to find out and time is left."""
    rounds = most.rounds or math.ceil(process.bound(ROUNDS, MOST_ROUNDS))
    left, number, disturbed, ends = [*racers], 0, 0, time.monotonic() + most.seconds
    while left and number <= rounds:
        before, first = clocks(), number % len(left)
        for racer in (*left[first:], *left[:first]):
            if time.monotonic() > ends:
                late = because(NO_TIME)
                for other in left:
                    other.forget(number, None if other.opened else late)
                return
            doing = f"round {number} of at most {rounds}" if number else "warming up"
            progress(f"{doing}: {racer.name}")
            racer.run(number)
        wall, awake = (after - since for since, after in zip(before, clocks(), strict=True))
        if abs(wall - awake) > _SKEW_SECONDS:
            disturbed += 1
            why = because("evaluate.clocks", wall=wall, awake=awake)
            progress(f"round {number} does not count: {why}")
            for racer in left:
                racer.forget(number, why if disturbed > _MOST_DISTURBED else None)
            left = left if disturbed <= _MOST_DISTURBED else []
            continue
        left, number = _left(left, number, groups), number + 1
        if time.monotonic() + (awake if number > 1 else 0) > ends:
            break


def clocks() -> tuple[float, float]:
    """Return the time of day, and that for which this machine was awake, both in seconds."""
    if os.name != "nt":
        return time.time(), time.monotonic()  # which stands still while Linux or macOS sleep
    ticks = ctypes.c_uint64()
    kernel: Any = ctypes.CDLL("kernel32")
    kernel.QueryUnbiasedInterruptTime(ctypes.byref(ticks))
    return time.time(), ticks.value / 1e7


def choose(clip_set: ClipSet, count: int) -> tuple[Clip, ...]:
    """Choose `count` clips in which somebody speaks, spread over their lengths, shortest first."""
    spoken = [clip for clip in clip_set.clips if clip.spoken]
    spoken.sort(key=lambda clip: (clip_set.seconds(clip), clip.file))
    count = min(count, len(spoken))
    return tuple(spoken[(2 * place + 1) * len(spoken) // (2 * count)] for place in range(count))


def _left(
    racers: Sequence["_Racer"], number: int, groups: Mapping[str, Collection[str]]
) -> list["_Racer"]:
    """Return who goes on after a round."""
    running = [racer for racer in racers if racer.failure is None]
    wanted = remaining({racer.name: racer.laps for racer in running}, number, groups.values())
    return [racer for racer in running if racer.name in wanted]


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What one process opens, and what it will play."""

    artifact: Path
    adapter: Gpu | None = None
    threads: int | None
    folder: Path
    """Where the recordings are."""
    clips: tuple[Clip, ...]


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The artifact is open and the clips, of so many seconds, are in memory."""

    load_ns: Nanoseconds
    max_batch: int | None
    seconds: tuple[Seconds, ...]


class _Racer:
    """One variant in a process of its own: however that ends is its failure here."""

    def __init__(self, name: str, request: OpenRequest, *, apart: bool) -> None:
        self.name, self._request, self._apart = name, request, apart
        self.failure: Failure | None = None
        self._worker: Worker | None = None
        self._opened: list[Loaded] = []
        self.laps: list[Lap] = []
        self._peak_rss_bytes = 0

    def run(self, number: int) -> None:
        """Do everything of one round."""
        try:
            self._run(number)
        except WhisperoptError as error:
            self.failure = Failure(error.reason)
        if self.failure or self._apart:
            self.close()

    @property
    def opened(self) -> bool:
        """Whether it was ever ready to decode."""
        return bool(self._opened)

    def forget(self, number: int, why: Reason | None) -> None:
        """Forget a round, and that it took too long; with a reason `why` fall out for it."""
        self.laps = [lap for lap in self.laps if lap.round != number]
        if why or (self.failure and self.failure.late):
            self.failure = Failure(why) if why else None

    def close(self) -> None:
        """End the process, if there is one."""
        if self._worker:
            self._worker.close()
        self._worker = None

    def race(self, rivals: tuple[str, ...], started: str, leader: Sequence[Lap]) -> Race:
        """Return what was measured."""
        return Race(
            rivals=rivals,
            started=started,
            load_ns=self._opened[0].load_ns,
            peak_rss_bytes=self._peak_rss_bytes,
            laps=tuple(self.laps),
            leader=tuple(leader),
        )

    def _run(self, number: int) -> None:
        """Decode every clip; a process that has only this round to live warms up before that."""
        limit = process.bound(LIMIT, _SECONDS)
        rounds = [number]
        if self._worker is None:
            self._worker = Worker()
            self._opened.append(self._ask(load, self._request, _FIRST * limit))
            rounds = [0, number] if number else [0]
        opened = self._opened[-1]
        for place in rounds:
            for batch in _batches(len(self._request.clips), opened.max_batch):
                lap = Lap(
                    round=place,
                    clips=tuple(self._request.clips[index].file for index in batch),
                    seconds=sum(opened.seconds[index] for index in batch),
                    total_ns=self._ask(run_batch, batch, limit if place else _FIRST * limit),
                )
                self.laps.append(lap)
        self._peak_rss_bytes = max(self._peak_rss_bytes, self._ask(idle, None, limit))

    def _ask(
        self, handler: Callable[[_Request], _Answer], request: _Request, limit: float
    ) -> _Answer:
        worker = self._worker or Worker()
        answer = worker.ask(handler, request, limit=limit)
        if isinstance(answer, Failure):
            raise WhisperoptError(answer.reason)
        return answer


def _batches(clips: int, max_batch: int | None) -> Iterator[tuple[int, ...]]:
    """Yield every clip alone, and then full batches: as few as hold them all, of one size."""
    yield from ((index,) for index in range(clips))
    size = min(clips, max_batch or clips)
    if size > 1:
        for start in range(0, clips - size + 1, size):
            yield tuple(range(start, start + size))


_open: list[tuple[Recognizer, list[AudioChunk]]] = []
"""What the process of a racer holds from `load` on."""


def load(request: OpenRequest) -> Loaded:
    """Open what is to be timed: a handler of the racer's process, like those below."""
    artifact = artifacts.read(request.artifact, request.adapter)
    known = artifact.manifest.decoding.languages
    clips = [
        AudioChunk(
            audio.read(request.folder / clip.file),
            clip.language if clip.language in known else "en",
        )
        for clip in request.clips
    ]
    backend = registry.require(artifact.manifest.backend)
    started = time.perf_counter_ns()
    session = backend.open(artifact, threads=request.threads)
    load_ns = time.perf_counter_ns() - started
    _open.append((Recognizer(artifact, session), clips))
    return Loaded(
        load_ns=load_ns,
        max_batch=session.max_batch,
        seconds=tuple(clip.samples.size / SAMPLE_RATE for clip in clips),
    )


def run_batch(places: tuple[int, ...]) -> Nanoseconds:
    """Do what a user waits for, from samples to text, and return how long it took."""
    ((recognizer, clips),) = _open
    batch = [clips[place] for place in places]
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
    return memory.peak_rss_bytes()
