"""What a clock can show: times that hardware can reach, and that differ as real ones do."""

import math
from collections.abc import Sequence

MAX_RTFX = 20_000
"""More audio per time than any hardware decodes."""
MAX_NS = 3600 * 10**9
"""An hour for one clip: nobody waits for that."""
_COARSEST_NS = 10_000
"""The ticks of no clock in use are that long."""
_FEWEST = 4
"""Of fewer times nothing can be said."""


def too_fast_or_slow(seconds: float, ns: int, *, clips: int = 1) -> str | None:
    """Return why `ns` cannot be the time for `seconds` of audio in `clips`, or None."""
    if seconds * 1e9 > MAX_RTFX * ns:
        return f"is {ns} ns for {seconds:g} s of audio, faster than any hardware"
    if ns > clips * MAX_NS:
        return f"is {ns} ns, more than an hour a clip"
    return None


def made_up(times: Sequence[int]) -> str | None:
    """Return why a clock cannot have shown `times`, in nanoseconds, or None.

    Real times jitter: hardly two are the same to the nanosecond, and all are multiples of nothing
    but a clock's ticks.
    """
    if len(times) < _FEWEST:
        return None
    if len(set(times)) <= len(times) // 2:
        return f"take only {len(set(times))} values in {len(times)} times: no clock shows that"
    step = math.gcd(*times)
    if step > _COARSEST_NS:
        return f"are all multiples of {step} ns: no clock shows that"
    return None
