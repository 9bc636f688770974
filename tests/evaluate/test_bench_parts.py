"""Calls become events, events parts of the time, and parts what is shown."""

import weakref
from typing import Protocol, runtime_checkable

import pytest

from whisperopt.evaluate.bench import Event, Parts, Played, Watched, parts, summed

MS = 1_000_000


@runtime_checkable
class Counting(Protocol):
    def count(self, by: int) -> int: ...


class Tally:
    kind = "tally"

    def __init__(self) -> None:
        self.total = 0

    def count(self, by: int) -> int:
        self.total += by
        return self.total

    def another(self) -> "Tally":
        return Tally()


def test_what_stands_in_keeps_the_contract_and_notes_calls() -> None:
    noted: list[Event] = []
    tally = Watched(Tally(), noted)
    assert isinstance(tally, Counting)
    assert [tally.count(2), tally.count(by=3)] == [2, 5]
    assert (tally.total, tally.kind) == (5, "tally")
    assert [event.name for event in noted] == ["count", "count"]
    assert noted[0].started <= noted[0].ended <= noted[1].started <= noted[1].ended


def test_results_are_watched_where_that_is_wished() -> None:
    noted: list[Event] = []
    Watched(Tally(), noted, ["another"]).another().count(1)
    Watched(Tally(), noted).another().count(1)
    assert [event.name for event in noted] == ["another", "count", "another"]


def test_what_stands_in_goes_with_its_last_user() -> None:
    tally = Tally()
    gone = weakref.ref(tally)
    watched = Watched(tally, [])
    del tally
    watched.count(1)
    del watched
    assert gone() is None


def events(*calls: tuple[str, int, int]) -> list[Event]:
    return [Event(name, start * MS, end * MS) for name, start, end in calls]


def test_every_part_of_a_clip_is_told_apart() -> None:
    found = parts(
        events(
            ("encode", 5, 105),
            ("reset", 105, 106),
            ("step", 107, 127),
            ("step_last", 130, 140),
            ("step_last", 141, 151),
            ("decode", 152, 153),
        ),
        0,
        160 * MS,
    )
    assert found == Parts(mel=5, encoder=100, prefill=20, steps=20, text=1, python=14, calls=2)
    assert found.total == 160


def test_listening_for_the_language_is_a_prefill_of_its_own() -> None:
    found = parts(
        events(("encode", 0, 10), ("reset", 10, 10), ("step", 10, 12), ("reset", 12, 12))
        + events(("step", 12, 15), ("step", 15, 16)),
        0,
        16 * MS,
    )
    assert (found.prefill, found.steps, found.calls) == (5, 1, 1)


def test_hearing_a_clip_again_adds_up() -> None:
    once = [("encode", 10, 20), ("step", 20, 21)]
    again = [("encode", 31, 41), ("step", 41, 42)]
    found = parts(events(*once, *again), 0, 42 * MS)
    assert (found.mel, found.encoder, found.prefill) == (20, 20, 2)


def played(seconds: float, *totals: float, edits: int | None = 0, units: int = 10) -> Played:
    rounds = tuple(
        Parts(mel=total - 10, encoder=4, prefill=1, steps=3, text=1, python=1, calls=6)
        for total in totals
    )
    file = f"{seconds}.wav"
    return Played(file=file, seconds=seconds, text="a", rounds=rounds, edits=edits, units=units)


def test_rates_errors_and_lengths_are_told() -> None:
    clips = [
        played(2, 100, 300, 120, edits=1),
        played(4, 200),
        played(25, 1000),
        played(60, 2000, edits=None, units=0),
    ]
    found = summed("cpu-a", "tiny", clips)
    assert found.rtfx == pytest.approx(91 / 3.32)
    assert found.latency_ms_p50 == pytest.approx(600)
    assert (found.latency_ms_p95, found.clips) == (2000, 4)
    assert found.wer == pytest.approx(100 / 30)
    assert [(one.longest, one.clips) for one in found.buckets] == [(5, 2), (30, 1), (None, 1)]
    assert found.buckets[0].parts.total == pytest.approx(180)
    assert found.buckets[0].step == pytest.approx(0.5)


def test_without_transcripts_no_errors_are_claimed() -> None:
    assert summed("cpu-a", "tiny", [played(2, 50, edits=None, units=0)]).wer is None
