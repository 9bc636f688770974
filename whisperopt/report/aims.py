"""What the best variant of a target is, and where that was decided, in words."""

import re

from whisperopt.release.report import TargetReport

_GOALS = {
    "latency": "the least time for a clip",
    "throughput": "the most audio in the same time",
    "size": "the least space on disk",
    "memory": "the least memory",
}
_LIMITS = {
    "wer_delta": ("change of the WER", " points", 1.0),
    "latency_ms_p50": ("time for a clip", " ms", 1.0),
    "size_bytes": ("size", " MB", 1e-6),
    "peak_rss_mb": ("memory", " MB", 1.0),
}
_LIMIT = re.compile(r"(\w+) <= ([-+.e\d]+)")


def aim(objective: str) -> str:
    """Say an objective as people do; what is not known stays as it is."""
    goal, _, limits = objective.partition(" with ")
    said = _GOALS.get(goal, goal)
    return f"{said}, with {_LIMIT.sub(_limit, limits)}" if limits else said


def decided(target: TargetReport) -> str:
    """Say which kind of host decided between the candidates of `target`."""
    return target.host_class or "nothing: none was run, so their order on the ladder decided"


def _limit(found: re.Match[str]) -> str:
    name, unit, factor = _LIMITS.get(found[1], (found[1], "", 1.0))
    try:
        return f"{name} ≤ {float(found[2]) * factor:g}{unit}"
    except ValueError:
        return found[0]
