"""The process of engines that do one odd thing each; run as `python -m`."""

import os
import sys
import time
from collections.abc import Sequence

from benchmarks.peers import child
from benchmarks.peers.engine import Job, Listen, Made, Opened, Order, Source
from whisperopt.runtime.arrays import Floats


def _sizes(clips: Sequence[Floats], language: str) -> list[str]:
    return [f"{language} {clip.size} {clip.sum():.0f}" for clip in clips]


def _chatters(clips: Sequence[Floats], language: str) -> list[str]:
    os.write(1, b"a library says hello\n")
    return _sizes(clips, language)


def _raises(clips: Sequence[Floats], language: str) -> list[str]:
    raise ValueError("\n  this clip is odd\nand more")


def _dies(clips: Sequence[Floats], language: str) -> list[str]:
    os._exit(7)


def _sleeps(clips: Sequence[Floats], language: str) -> list[str]:
    time.sleep(60)
    return []


LISTENERS: dict[str, Listen] = {
    "counts": _sizes,
    "chatters": _chatters,
    "raises": _raises,
    "dies": _dies,
    "sleeps": _sleeps,
}


class FakeEngine:
    distributions = ()

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def jobs(self) -> dict[Job, str]:
        return {"clips": "fake"}

    def make(self, source: Source) -> Made:
        return Made(folder=source.work, how="made up")

    def open(self, order: Order) -> Opened:
        settings = f"threads={order.threads}, OpenMP {os.environ['OMP_NUM_THREADS']}"
        return Opened(listen=LISTENERS[self.name], settings=settings, folder=order.folder)


if __name__ == "__main__":
    child.main(FakeEngine)
    sys.exit()
