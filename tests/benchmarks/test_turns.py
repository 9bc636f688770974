from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import guest, turns
from benchmarks.peers.engine import Made
from benchmarks.peers.recordings import Playlist, Recording
from benchmarks.peers.samples import Part, Row
from benchmarks.peers.turns import House, Stage
from tests.benchmarks.test_guest import COMMAND

RECORDINGS = tuple(
    Recording(name=f"{size}.wav", language="en", text="word", seconds=size / 16_000)
    for size in (1600, 3200)
)
PLAYLIST = Playlist(
    groups=tuple((one,) for one in RECORDINGS),
    samples={one.name: np.zeros(int(one.seconds * 16_000), np.float32) for one in RECORDINGS},
)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    def fake(log: Path, threads: int, *, limit_s: float) -> guest.Guest:
        return guest.Guest(log, threads, limit_s=limit_s, command=COMMAND)

    monkeypatch.setattr(turns, "Guest", fake)
    return House(model="made-up", threads=1, loads=2, limit_s=60, log=tmp_path / "log")


def staged(house: House, *engines: str) -> tuple[Part, int]:
    rows = [Row(engine=engine, what="fake") for engine in engines]
    part = Part(job="clips", rounds=2, recordings=RECORDINGS, rows=rows)
    made: dict[str, Made | str] = dict.fromkeys(
        engines, Made(folder=str(house.log.parent), how="made up")
    )
    saved: list[int] = []
    models = made | {"absent": "no model: it is not installed"}
    Stage(part, PLAYLIST, house).run(models, lambda: saved.append(len(rows[0].samples)))
    return part, len(saved)


def test_all_hear_everything_in_every_round(house: House) -> None:
    part, saved = staged(house, "counts", "chatters")
    for row in part.rows:
        assert [(sample.round, sample.texts[0]) for sample in row.samples] == [
            (0, "en 1600 0"),
            (0, "en 3200 0"),
            (1, "en 1600 0"),
            (1, "en 3200 0"),
        ]
        assert len(row.loads) == 2
        assert row.reason is None
    assert saved == 2


def test_whoever_breaks_leaves_and_the_others_go_on(house: House) -> None:
    part, _ = staged(house, "dies", "counts", "absent", "raises")
    dead, alive, absent, odd = part.rows
    assert dead.reason == "its process ended with code 7 (at 1600.wav)"
    assert absent.reason == "no model: it is not installed"
    assert odd.reason == "ValueError: this clip is odd (at 1600.wav)"
    assert not dead.samples
    assert len(alive.samples) == 4
