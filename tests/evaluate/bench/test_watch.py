"""Watched objects do what they did, and every call is noted."""

import itertools
from typing import Protocol, runtime_checkable

import pytest

from whisperopt.evaluate.bench.figures import Event, Watch


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

    def fail(self) -> None:
        raise ZeroDivisionError


def watch() -> Watch:
    return Watch(clock=itertools.count(0, 10).__next__)


def test_calls_are_noted_with_their_times() -> None:
    noted = watch()
    tally = noted.over(Tally())
    assert [tally.count(2), tally.count(by=3)] == [2, 5]
    assert (tally.total, tally.kind) == (5, "tally")
    assert noted.take() == (Event("count", 0, 10), Event("count", 20, 30))
    assert noted.take() == ()


def test_what_stands_in_keeps_the_contract() -> None:
    assert isinstance(watch().over(Tally()), Counting)


def test_results_are_watched_where_that_is_wished() -> None:
    noted = watch()
    noted.over(Tally(), ["another"]).another().count(1)
    noted.over(Tally()).another().count(1)
    assert [event.name for event in noted.take()] == ["another", "count", "another"]


def test_a_call_that_fails_is_noted_too() -> None:
    noted = watch()
    with pytest.raises(ZeroDivisionError):
        noted.over(Tally()).fail()
    assert noted.take() == (Event("fail", 0, 10),)
