"""Runs one part: every engine is started, then all take turns on every recording."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.peers.child import Done, Heard, Make, Open, Ready
from benchmarks.peers.engine import Engine, Made, Order, Source
from benchmarks.peers.guest import EngineError, Guest
from benchmarks.peers.recordings import Playlist, Recording
from benchmarks.peers.samples import Load, Part, Row, Sample

Group = tuple[Recording, ...]


class House(msgspec.Struct, frozen=True, kw_only=True):
    """Under what conditions engines run, the same for all."""

    model: str
    threads: int
    loads: int
    limit_s: float
    log: Path

    def guest(self) -> Guest:
        """Start the process of an engine."""
        return Guest(self.log, self.threads, limit_s=self.limit_s)


def make(engine: Engine, source: Source, house: House) -> Made | str:
    """Make an engine's model in a process of its own; return it, or why there is none."""
    with house.guest() as guest:
        try:
            answer = guest.ask(Make(engine.name, source))
        except EngineError as error:
            return f"no model: {error}"
    return answer.made if isinstance(answer, Done) else "no model"


class Stage:
    """All engines of one part, each in its process; one that fails leaves with its reason."""

    def __init__(self, part: Part, playlist: Playlist, house: House) -> None:
        """Fill `part` with what is measured."""
        self._part, self._playlist, self._house = part, playlist, house
        self._guests: dict[str, Guest] = {}

    def run(self, models: dict[str, Made | str], save: Callable[[], None]) -> None:
        """Load every engine, tell how long it will take, take turns; `save` after every round."""
        try:
            for row in self._part.rows:
                made = models[row.engine]
                if isinstance(made, str):
                    row.reason = made
                elif row.reason is None:
                    self._load(row, made)
            self._announce()
            for number in range(self._part.rounds):
                save()
                self._round(number)
        finally:
            for guest in self._guests.values():
                guest.close()

    def _load(self, row: Row, made: Made) -> None:
        """Start an engine as often as asked, and keep the last process."""
        say(f"{self._part.job}: {row.engine} loads")
        job, house = self._part.job, self._house
        order = Order(model=house.model, folder=made.folder, job=job, threads=house.threads)
        for _ in range(house.loads):
            if before := self._guests.pop(row.engine, None):
                before.close()
            started = time.perf_counter()
            guest = self._guests[row.engine] = house.guest()
            try:
                ready = guest.ask(Open(row.engine, order))
            except EngineError as error:
                self._leave(row, f"does not open: {error}")
                return
            opened = time.perf_counter()
            if self._heard(row, self._playlist.groups[0]) is None:
                return
            loaded = time.perf_counter()
            row.loads.append(Load(first_word_s=loaded - started, open_s=opened - started))
            if isinstance(ready, Ready):
                row.settings, row.disk_bytes = ready.settings, _size(Path(ready.folder))

    def _announce(self) -> None:
        """Warm every engine up and tell how long all rounds will take."""
        first = self._playlist.groups[0]
        started = time.perf_counter()
        for row in self._part.rows:
            self._heard(row, first)
        spent = time.perf_counter() - started
        often = float(len(self._playlist.groups))
        if self._part.job == "long":
            often = self._playlist.seconds / sum(one.seconds for one in first)
        minutes = self._part.rounds * often * spent / 60
        say(f"{self._part.job}: about {minutes:.1f} minutes for {self._part.rounds} rounds")

    def _round(self, number: int) -> None:
        """Let all hear every group before the next group comes; another one begins each time."""
        rows = self._part.rows
        for index, group in enumerate(self._playlist.groups):
            start = (number + index) % len(rows)
            for row in rows[start:] + rows[:start]:
                if heard := self._heard(row, group):
                    row.samples.append(
                        Sample(
                            clips=tuple(one.name for one in group),
                            round=number,
                            wall_ns=heard.wall_ns,
                            cpu_ns=heard.cpu_ns,
                            texts=heard.texts,
                        )
                    )
        say(f"{self._part.job}: round {number + 1} of {self._part.rounds} is done")

    def _heard(self, row: Row, group: Group) -> Heard | None:
        """Ask an engine that still runs; if it fails now, it says why and never runs again."""
        guest = self._guests.get(row.engine)
        if guest is None:
            return None
        try:
            heard = guest.listen(self._playlist.of(group), group[0].language)
        except EngineError as error:
            self._leave(row, f"{error} (at {group[0].name})")
            return None
        if not isinstance(heard, Heard):
            return None
        row.peak_rss = max(row.peak_rss, heard.peak_rss)
        return heard

    def _leave(self, row: Row, reason: str) -> None:
        row.reason = reason
        self._guests.pop(row.engine).close()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
