"""Texts that are no speech: a loop that feeds on itself, or one that does not come to an end."""

from collections.abc import Sequence

_LONGEST = 8
_TIMES = 8


def loops(tokens: Sequence[int]) -> bool:
    """Say whether `tokens` end in one to eight tokens repeated at least eight times."""
    return any(
        len(tokens) >= _TIMES * period
        and tokens[-(_TIMES - 1) * period :] == tokens[-_TIMES * period : -period]
        for period in range(1, _LONGEST + 1)
    )


def degenerate(tokens: Sequence[int], limit: int) -> bool:
    """Say whether `tokens` of one chunk are no text: they loop, or fill all `limit` places."""
    return len(tokens) >= limit or loops(tokens)
