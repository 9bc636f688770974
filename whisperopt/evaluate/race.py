"""A race: in every round each variant in turn decodes the same clips, so none has the quiet hour.

What disturbs the machine for a while disturbs a round of all of them, and what only the first of a
round feels is felt by each in turn.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from whisperopt import process
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate import stopwatch
from whisperopt.evaluate.clips import Clip, ClipSet
from whisperopt.evaluate.evidence import Evidence, Lap, Race
from whisperopt.evaluate.stopwatch import Loaded, OpenRequest, RunBatch, TimedClip
from whisperopt.evaluate.trial import NoEvidence
from whisperopt.process import Failure, Worker
from whisperopt.reasons import because

LIMIT = "WHISPEROPT_LAP_SECONDS"
"""The variable that says how long one decoding may take; opening may take three times as long."""

_SECONDS = 300
_FIRST = 3
_NEEDED_PER_BYTE = 3
"""Memory that a process takes for each byte of its artifact, roughly, and rather too much."""
_FREE_SHARE = 0.5
Progress = Callable[[str], None]
_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


def timed(
    evidence: Mapping[str, Evidence],
    folders: Mapping[str, Path],
    clip_set: ClipSet,
    *,
    threads: int,
    memory_bytes: int | None,
    progress: Progress,
) -> dict[str, Evidence | NoEvidence]:
    """Race the variants in `folders`; return their `evidence` with it, or why one fell out.

    `memory_bytes` is what the device has, None for that of the machine.
    """
    entrants = [(name, folders[name]) for name in evidence]
    races = run(entrants, clip_set, threads=threads, memory_bytes=memory_bytes, progress=progress)
    return {
        name: NoEvidence(str(because("evaluate.race", why=str(race))))
        if isinstance(race, Failure)
        else msgspec.structs.replace(evidence[name], race=race)
        for name, race in races.items()
    }


def run(
    entrants: Sequence[tuple[str, Path]],
    clip_set: ClipSet,
    *,
    rounds: int = 10,
    clips: int = 3,
    threads: int | None = None,
    memory_bytes: int | None = None,
    progress: Progress = lambda _: None,
) -> dict[str, Race | Failure]:
    """Time `entrants`, names and folders, on a few clips in `rounds` rounds after a warm-up.

    In each round each decodes every clip alone, and then, if it takes batches, all of them at
    once. One that crashes, hangs or raises falls out, and the failure says why; the others go on.
    Their processes stay open side by side, asleep, unless memory is too short for that: by default
    what is free, or `memory_bytes`, if a device has less.
    """
    chosen = choose(clip_set, clips)
    played = tuple(
        TimedClip(path=clip_set.folder / clip.file, language=clip.language) for clip in chosen
    )
    started = datetime.now(UTC).isoformat(timespec="seconds")
    free = process.available_bytes()
    files = (file for _, folder in entrants if folder.is_dir() for file in folder.iterdir())
    needed = sum(file.stat().st_size for file in files) * _NEEDED_PER_BYTE
    apart = needed > min(free, memory_bytes or free) * _FREE_SHARE
    with ExitStack() as stack:
        racers = [
            stack.enter_context(
                closing(
                    _Racer(
                        name,
                        OpenRequest(artifact=folder, threads=threads, clips=played),
                        tuple(clip.file for clip in chosen),
                        apart=apart,
                    )
                )
            )
            for name, folder in entrants
        ]
        for number in range(rounds + 1):
            first = number % max(1, len(racers))
            for racer in (*racers[first:], *racers[:first]):
                if racer.failure is None:
                    doing = f"round {number} of {rounds}" if number else "warming up"
                    progress(f"{doing}: {racer.name}")
                    racer.run(number)
        rivals = tuple(racer.name for racer in racers if racer.failure is None)
        return {racer.name: racer.failure or racer.race(rivals, started) for racer in racers}


def choose(clip_set: ClipSet, count: int) -> tuple[Clip, ...]:
    """Choose `count` clips in which somebody speaks, spread over their lengths, shortest first."""
    import soundfile

    spoken = sorted(
        (clip for clip in clip_set.clips if clip.spoken),
        key=lambda clip: (soundfile.info(clip_set.folder / clip.file).duration, clip.file),
    )
    count = min(count, len(spoken))
    return tuple(spoken[(2 * place + 1) * len(spoken) // (2 * count)] for place in range(count))


class _Racer:
    """One variant in a process of its own: however that ends is its failure here."""

    def __init__(
        self, name: str, request: OpenRequest, files: tuple[str, ...], *, apart: bool
    ) -> None:
        self.name, self._request, self._files, self._apart = name, request, files, apart
        self.failure: Failure | None = None
        self._worker: Worker | None = None
        self._opened: list[Loaded] = []
        self._laps: list[Lap] = []
        self._peak_rss_bytes = 0

    def run(self, number: int) -> None:
        """Do everything of one round."""
        try:
            self._run(number)
        except WhisperoptError as error:
            self.failure = Failure(error.reason)
        if self.failure or self._apart:
            self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        if self._worker:
            self._worker.close()
        self._worker = None

    def race(self, rivals: tuple[str, ...], started: str) -> Race:
        """Return what was measured."""
        return Race(
            rivals=rivals,
            started=started,
            load_ns=self._opened[0].load_ns,
            peak_rss_bytes=self._peak_rss_bytes,
            laps=tuple(self._laps),
        )

    def _run(self, number: int) -> None:
        """Decode every clip; a process that has only this round to live warms up before that."""
        limit = process.seconds(LIMIT, _SECONDS)
        rounds = [number]
        if self._worker is None:
            self._worker = Worker()
            opened = self._ask(stopwatch.load, self._request, _FIRST * limit)
            self._opened.append(opened)
            rounds = [0, number] if number else [0]
        for place in rounds:
            for batch in _batches(len(self._files), self._opened[-1].max_batch):
                request = RunBatch(opened=self._request, clips=batch)
                patience = limit if place else _FIRST * limit
                lap = Lap(
                    round=place,
                    clips=tuple(self._files[index] for index in batch),
                    seconds=sum(self._opened[-1].seconds[index] for index in batch),
                    total_ns=self._ask(stopwatch.run_batch, request, patience),
                )
                self._laps.append(lap)
        peak_rss_bytes = self._ask(stopwatch.idle, None, limit)
        self._peak_rss_bytes = max(self._peak_rss_bytes, peak_rss_bytes)

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
