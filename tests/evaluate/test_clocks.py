"""A race on a machine that sleeps, whose clock is set, or whose time is short."""

from pathlib import Path

import pytest

from tests.evaluate.races import clip_set
from whisperopt.evaluate import race as races
from whisperopt.evaluate.evidence import Race
from whisperopt.evaluate.race import Entrant, Loaded, Most, run
from whisperopt.evaluate.times import times
from whisperopt.process import Failure
from whisperopt.reasons import because

MILLISECOND = 10**6
HOUR = 3600.0
NAMES = ("swift", "slow")


class Machine:
    """Its clocks go on by what is done on it; `sleeps` and `sets` hold by how much in which call."""

    def __init__(self) -> None:
        self.wall, self.awake, self.calls = 1e9, 0.0, 0
        self.sleeps: dict[int, float] = {}
        self.sets: dict[int, float] = {}
        self.late: set[int] = set()
        """The calls that take longer than their limit."""

    def pass_by(self, seconds: float) -> None:
        self.calls += 1
        slept = self.sleeps.get(self.calls, 0.0)
        self.awake += seconds
        self.wall += seconds + slept + self.sets.get(self.calls, 0.0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()

    class Worker:
        """Opens at once, and decodes in 10 or 20 ms."""

        def ask(self, handler: object, request: object, **_: object) -> object:
            if handler is races.load:
                self.takes = 0.01 * (1 + ("slow" in str(request)))
                return Loaded(load_ns=1, max_batch=1, seconds=(1.0, 1.0))
            if handler is races.idle:
                return 2**20
            made.pass_by(self.takes)
            if made.calls in made.late:
                return Failure(because("process.too-long", seconds=300))
            return int(self.takes * 1000) * MILLISECOND

        def close(self) -> None:
            pass

    monkeypatch.setattr(races, "Worker", Worker)
    monkeypatch.setattr(races, "clocks", lambda: (made.wall, made.awake))
    monkeypatch.setattr(races.time, "monotonic", lambda: made.awake)
    return made


@pytest.fixture
def said() -> list[str]:
    return []


EIGHT = Most(rounds=8, clips=2)


def raced(tmp_path: Path, said: list[str], most: Most = EIGHT) -> dict[str, object]:
    entrants = [Entrant(name, tmp_path / name) for name in NAMES]
    clips = clip_set(tmp_path / "clips", 0.1, 0.1)
    return dict(run(entrants, clips, most=most, progress=said.append))


def rounds(found: object) -> list[int]:
    assert isinstance(found, Race), found
    return sorted({lap.round for lap in found.laps})


@pytest.mark.parametrize("what", ["sleeps", "sets"])
@pytest.mark.parametrize("seconds", [HOUR, 2.0, -HOUR])
def test_a_round_in_which_clocks_disagree_is_run_again(
    machine: Machine, tmp_path: Path, said: list[str], what: str, seconds: float
) -> None:
    getattr(machine, what)[7] = seconds
    found = raced(tmp_path, said)
    assert all(rounds(found[name]) == rounds(found["swift"]) for name in NAMES)
    assert all(len(found[name].laps) == 2 * len(rounds(found[name])) for name in NAMES)  # type: ignore[attr-defined]
    assert sum("does not count" in line for line in said) == 1
    assert times(found["slow"]).latency_ms == 20  # type: ignore[arg-type]


def test_who_was_late_in_such_a_round_has_not_failed(
    machine: Machine, tmp_path: Path, said: list[str]
) -> None:
    machine.sleeps[8], machine.late = HOUR, {8}
    assert all(isinstance(race, Race) for race in raced(tmp_path, said).values())
    machine.calls, machine.sleeps, machine.late = 0, {}, {8}
    failed = [name for name, race in raced(tmp_path, said).items() if isinstance(race, Failure)]
    assert len(failed) == 1


def test_a_machine_that_keeps_sleeping_gives_a_reason_and_no_order(
    machine: Machine, tmp_path: Path, said: list[str]
) -> None:
    machine.sleeps = dict.fromkeys(range(5, 1000), HOUR)
    for race in raced(tmp_path, said).values():
        assert isinstance(race, Failure)
        assert race.reason.code == "evaluate.clocks"
        assert not race.late


def test_a_clock_that_is_corrected_bit_by_bit_disturbs_nothing(
    machine: Machine, tmp_path: Path, said: list[str]
) -> None:
    machine.sets = dict.fromkeys(range(1, 1000), 0.01)
    raced(tmp_path, said)
    assert not any("does not count" in line for line in said)


@pytest.mark.parametrize(("seconds", "most"), [(0.07, 0), (0.13, 1), (0.37, 5), (99.0, 6)])
def test_no_round_begins_that_would_not_end_in_time(
    machine: Machine, tmp_path: Path, said: list[str], seconds: float, most: int
) -> None:
    """Two clips take both 60 ms together, a round of warming up as long; six rounds are enough."""
    found = raced(tmp_path, said, Most(rounds=30, seconds=seconds, clips=2))
    assert rounds(found["swift"]) == [*range(most + 1)]
    assert machine.awake <= seconds + 0.04 + 1e-9  # who is at it goes on


def test_who_is_not_open_when_time_is_over_says_so(
    machine: Machine, tmp_path: Path, said: list[str]
) -> None:
    """The first takes 20 ms to warm up; a round that time cuts short counts for nobody."""
    found = raced(tmp_path, said, Most(seconds=0.015, clips=2))
    assert isinstance(found["swift"], Race)
    assert found["swift"].laps == ()
    assert isinstance(found["slow"], Failure)
    assert found["slow"].reason.code == "evaluate.no-time"


def test_clocks_of_this_machine_agree() -> None:
    before, after = races.clocks(), races.clocks()
    assert abs((after[0] - before[0]) - (after[1] - before[1])) < 1
