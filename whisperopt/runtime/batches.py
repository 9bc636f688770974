"""Which chunks are heard together: alike in length, since all are padded to the longest."""

from collections.abc import Sequence

_ALIKE = 0.6
"""The shortest chunk of a batch, as a share of the longest."""


def plan(lengths: Sequence[int], most: int, *, padded: bool) -> list[list[int]]:
    """Return the places of `lengths` in batches of at most `most`.

    Where chunks are `padded` to the longest of their batch, the longest come first, and a batch
    also ends before a chunk that is much shorter. Where each is padded to the window anyway,
    they stay in order.
    """
    places = sorted(range(len(lengths)), key=lambda place: -lengths[place] if padded else 0)
    batches: list[list[int]] = []
    for place in places:
        batch = batches[-1] if batches else []
        alike = batch and (not padded or lengths[place] >= _ALIKE * lengths[batch[0]])
        if alike and len(batch) < most:
            batch.append(place)
        else:
            batches.append([place])
    return batches
