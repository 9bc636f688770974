"""A race: in every round each variant in turn decodes the same clips, so none has the quiet hour.

What disturbs the machine for a while disturbs a round of all of them, and what only the first of a
round feels is felt by each in turn.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from whisperopt import processes
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate.clips import Clip, ClipSet
from whisperopt.evaluate.evidence import Lap, Race
from whisperopt.evaluate.racing.runner import Runner
from whisperopt.evaluate.racing.stopwatch import Course, Ready, Recording

Progress = Callable[[str], None]
_NEEDED_PER_BYTE = 3
"""Memory that a process takes for each byte of its artifact, roughly, and rather too much."""
_FREE_SHARE = 0.5


class Entrant(msgspec.Struct, frozen=True):
    """A variant that shall be timed, and the folder that it lies in."""

    name: str
    artifact: Path


def run(
    entrants: Sequence[Entrant],
    clip_set: ClipSet,
    *,
    rounds: int = 10,
    clips: int = 3,
    threads: int | None = None,
    memory_bytes: int | None = None,
    progress: Progress = lambda _: None,
) -> dict[str, Race | str]:
    """Time `entrants` on a few clips in `rounds` rounds behind one that warms up.

    In each round each decodes every clip alone, and then, if it takes batches, all of them at
    once. One that crashes, hangs or raises falls out, and the text says why; the others go on.
    Their processes stay open side by side, asleep, unless memory is too short for that: by default
    what is free, or `memory_bytes`, if a device has less.
    """
    chosen = choose(clip_set, clips)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    free = processes.available_bytes()
    apart = _size(entrants) * _NEEDED_PER_BYTE > min(free, memory_bytes or free) * _FREE_SHARE
    with ExitStack() as stack:
        racers = [
            stack.enter_context(closing(_Racer(one, clip_set, chosen, threads, apart=apart)))
            for one in entrants
        ]
        for number in range(rounds + 1):
            for racer in _rotated(racers, number):
                if not racer.reason:
                    doing = f"round {number} of {rounds}" if number else "warming up"
                    progress(f"{doing}: {racer.name}")
                    racer.run(number)
        rivals = tuple(racer.name for racer in racers if not racer.reason)
        return {racer.name: racer.reason or racer.race(rivals, started) for racer in racers}


def choose(clip_set: ClipSet, count: int) -> tuple[Clip, ...]:
    """Choose `count` clips in which somebody speaks, spread over their lengths, shortest first."""
    import soundfile

    spoken = sorted(
        (clip for clip in clip_set.clips if clip.spoken),
        key=lambda clip: (soundfile.info(clip_set.folder / clip.file).duration, clip.file),
    )
    count = min(count, len(spoken))
    return tuple(spoken[(2 * place + 1) * len(spoken) // (2 * count)] for place in range(count))


def _size(entrants: Sequence[Entrant]) -> int:
    folders = (one.artifact for one in entrants if one.artifact.is_dir())
    return sum(file.stat().st_size for folder in folders for file in folder.iterdir())


def _rotated(racers: Sequence["_Racer"], number: int) -> Iterator["_Racer"]:
    first = number % max(1, len(racers))
    yield from racers[first:]
    yield from racers[:first]


class _Racer:
    def __init__(
        self,
        entrant: Entrant,
        clip_set: ClipSet,
        chosen: Sequence[Clip],
        threads: int | None,
        *,
        apart: bool,
    ) -> None:
        self.name, self.reason = entrant.name, ""
        self._files, self._apart = tuple(clip.file for clip in chosen), apart
        self._course = Course(
            artifact=str(entrant.artifact),
            threads=threads,
            recordings=tuple(
                Recording(path=str(clip_set.folder / clip.file), language=clip.language)
                for clip in chosen
            ),
        )
        self._runner: Runner | None = None
        self._ready: list[Ready] = []
        self._laps: list[Lap] = []
        self._peak_rss_bytes = 0

    def run(self, number: int) -> None:
        """Do everything of one round; what goes wrong is the reason."""
        try:
            runner = self._runner or self._open()
            self._decode(runner, number)
            self._peak_rss_bytes = max(self._peak_rss_bytes, runner.rest())
        except WhisperoptError as error:
            self.reason = str(error).rstrip(".")
        if self.reason or self._apart:
            self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        if self._runner:
            self._runner.close()
        self._runner = None

    def race(self, rivals: tuple[str, ...], started: str) -> Race:
        """Return what was measured."""
        return Race(
            rivals=rivals,
            started=started,
            load_ns=self._ready[0].load_ns,
            peak_rss_bytes=self._peak_rss_bytes,
            laps=tuple(self._laps),
        )

    def _open(self) -> Runner:
        """Open the artifact, and warm up where a process has only one round to live."""
        self._runner = runner = Runner()
        self._ready.append(runner.open(self._course))
        if self._apart and len(self._ready) > 1:
            self._decode(runner, 0)
        return runner

    def _decode(self, runner: Runner, number: int) -> None:
        ready = self._ready[-1]
        for batch in _batches(len(self._files), ready.max_batch):
            lap = Lap(
                round=number,
                clips=tuple(self._files[index] for index in batch),
                seconds=sum(ready.seconds[index] for index in batch),
                total_ns=runner.take(batch, first=number == 0),
            )
            self._laps.append(lap)


def _batches(clips: int, max_batch: int | None) -> Iterator[tuple[int, ...]]:
    """Yield every clip alone, and then full batches: as few as hold them all, of one size."""
    yield from ((index,) for index in range(clips))
    size = min(clips, max_batch or clips)
    if size > 1:
        for start in range(0, clips - size + 1, size):
            yield tuple(range(start, start + size))
