"""Watches objects at work: notes when which of their methods ran, without their knowing."""

import time
from collections.abc import Callable, Collection
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
