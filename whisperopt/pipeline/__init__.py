"""The way from a checkpoint to a release, and of a release through another machine."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Self

import msgspec

from whisperopt.errors import BadInputError
from whisperopt.reasons import because

Progress = Callable[[str, str], None]
"""Called with the name of what is at work, which may be empty, and a few words on what it is at."""
_LONGEST = 30 * 24 * 60 * 60


class Budget(msgspec.Struct, frozen=True):
    """Seconds that something may take, by a clock that nobody sets, and when they are over."""

    seconds: float = math.inf
    ends: float = math.inf

    @classmethod
    def of(cls, seconds: float | None) -> Self:
        """Begin to count now; without `seconds` there is no end."""
        if seconds is None:
            return cls()
        if not 1 <= seconds <= _LONGEST:
            raise BadInputError(because("budget.seconds", f"{seconds:g}", most=_LONGEST))
        return cls(seconds, time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """How many seconds there still are, possibly less than none."""
        return self.ends - time.monotonic()

    @property
    def over(self) -> bool:
        """Whether there is no time left."""
        return self.left <= 0


def foreseen(progress: Progress, names: Sequence[str]) -> Progress:
    """Return `progress` that also tells, at each of `names`, how many are left and for how long."""
    began: dict[str, float] = {}

    def told(name: str, doing: str) -> None:
        if name in names and name not in began:
            now, place = time.monotonic(), names.index(name)
            began[name] = now
            spent = now - min(began.values())
            count = len(names) - place
            about = f", about {spent / place * count / 60:.1f} min" if place and spent else ""
            progress("left", f"{count} of {len(names)} variants{about}")
        progress(name, doing)

    return told
