"""What the best variant is: the least of one thing, within limits of others."""

import math
from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from whisperopt.errors import BadInputError
from whisperopt.reasons import because

Goal = Literal["latency", "throughput", "size", "memory"]
Limit = Literal["wer_delta", "latency_ms_p50", "size_bytes", "peak_rss_mb"]


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The default is the least time for a clip; `at_most` bounds other numbers of the report.

    `throughput` is audio per time with as many clips at once as the session takes, `size` the
    bytes on disk, `memory` the most that a process with the variant in it used. Increases of the
    WER are in percent points, latencies in milliseconds, memory in MiB.
    """

    goal: Goal = "latency"
    at_most: dict[Limit, float] = {}

    def __str__(self) -> str:
        """Say it in words, e.g. `size with wer_delta <= 0.5`."""
        limits = " and ".join(f"{name} <= {bound:g}" for name, bound in self.at_most.items())
        return f"{self.goal} with {limits}" if limits else self.goal

    @property
    def needs_times(self) -> bool:
        """Whether only a measurement on the device can tell which variant is better."""
        return self.goal != "size"


LATENCY = Objective()


def parse(goal: str | None, at_most: Mapping[str, float], *, default: Objective) -> Objective:
    """Return the objective that a user asked for; what is left out is as in `default`."""
    if goal is not None and goal not in get_args(Goal):
        known = ", ".join(get_args(Goal))
        raise BadInputError(because("objective.none", repr(goal), known=known))
    for name, bound in at_most.items():
        if name not in get_args(Limit):
            known = ", ".join(get_args(Limit))
            raise BadInputError(because("objective.no-limit", repr(name), known=known))
        if not math.isfinite(bound):
            raise BadInputError(because("objective.no-number", name))
    limits: dict[str, float] = {**default.at_most, **at_most}  # type: ignore[dict-item]  # mypy 1.x: keys of a Literal
    return msgspec.convert({"goal": goal or default.goal, "at_most": limits}, Objective)
