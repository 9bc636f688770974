import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks.peers.child import Done, Heard, Make, Open, Ready
from benchmarks.peers.engine import Order, Source
from benchmarks.peers.guest import EngineError, Guest

COMMAND = (sys.executable, "-m", "tests.benchmarks.fake_engines")
CLIPS = [np.ones(16_000, np.float32), np.full(100_000, 2, np.float32)]
Invite = Callable[[str], Guest]


@pytest.fixture
def invite(tmp_path: Path) -> Iterator[Invite]:
    with ExitStack() as stack:

        def start(engine: str) -> Guest:
            guest = Guest(tmp_path / "log", 2, limit_s=60, command=COMMAND)
            stack.enter_context(guest)
            order = Order(model="made-up", folder=str(tmp_path), job="clips", threads=2)
            ready = guest.ask(Open(engine, order))
            assert ready == Ready("threads=2, OpenMP 2", str(tmp_path))
            return guest

        yield start


@pytest.mark.parametrize("engine", ["counts", "chatters"])
def test_every_clip_is_heard_whole(invite: Invite, engine: str) -> None:
    heard = invite(engine).listen(CLIPS, "de")
    assert isinstance(heard, Heard)
    assert heard.texts == ("de 16000 16000", "de 100000 200000")
    assert heard.wall_ns > 0
    assert heard.peak_rss > 10**6


def test_what_a_library_prints_goes_to_the_log(invite: Invite, tmp_path: Path) -> None:
    with invite("chatters") as guest:
        guest.listen(CLIPS, "en")
    assert "a library says hello" in (tmp_path / "log").read_text()


def test_an_error_is_the_reason_and_the_engine_goes_on(invite: Invite) -> None:
    guest = invite("raises")
    for _ in range(2):
        with pytest.raises(EngineError, match=r"^ValueError: this clip is odd$"):
            guest.listen(CLIPS, "en")


def test_a_dead_process_is_told_by_its_code(invite: Invite) -> None:
    with pytest.raises(EngineError, match="ended with code 7"):
        invite("dies").listen(CLIPS, "en")


def test_an_answer_that_does_not_come_is_not_waited_for(invite: Invite) -> None:
    guest = invite("sleeps")
    guest._limit_s = 1
    with pytest.raises(EngineError, match="no answer within 1 s"):
        guest.listen(CLIPS, "en")


def test_it_rests_between_its_turns(invite: Invite) -> None:
    guest = invite("counts")
    guest.listen(CLIPS, "en")
    (process,) = (one for one in psutil.Process().children() if asked_for(one))
    until = time.monotonic() + 20
    while process.status() != psutil.STATUS_STOPPED and time.monotonic() < until:
        time.sleep(0.01)
    assert process.status() == psutil.STATUS_STOPPED
    guest.close()
    assert not process.is_running()


def asked_for(process: psutil.Process) -> bool:
    return COMMAND[-1] in process.cmdline()


def test_a_model_is_made_in_the_process_too(tmp_path: Path) -> None:
    source = Source(model="base", work=str(tmp_path), release="")
    with Guest(tmp_path / "log", 1, limit_s=60, command=COMMAND) as guest:
        answer = guest.ask(Make("counts", source))
    assert isinstance(answer, Done)
    assert answer.made.folder == str(tmp_path)
