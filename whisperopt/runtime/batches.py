"""Which chunks are heard together: alike in length, and no more than memory holds."""

from collections.abc import Sequence

from whisperopt.whisper import Dimensions

_ALIKE = 0.6
"""The shortest chunk of a batch, as a share of the longest."""
_SHARE = 4
"""A batch takes at most this part of the free memory: estimates err, and others run here, too."""
_UNKNOWN = 1_000_000_000
"""Bytes for a batch where nobody can tell how much memory is free."""
_FLOAT = 4


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


def window_bytes(dims: Dimensions) -> int:
    """Return what one window takes beside the weights, in bytes of fp32: more than in most forms.

    That is the decoder's keys and values of the audio and of the text, one encoder layer's
    attention scores and what its feed-forward network holds between its two matrices.
    """
    positions = dims.audio_context
    heads = dims.decoder_layers * dims.head_size
    cross = 2 * heads * dims.decoder_heads * positions
    own = 2 * heads * dims.decoder_kv_heads * dims.text_context
    scores = dims.encoder_heads * positions**2
    return _FLOAT * (cross + own + scores + positions * dims.encoder_ffn)


def fitting(dims: Dimensions, free: int | None) -> int:
    """Return how many windows fit in a share of `free` bytes, at least one; None: not known."""
    room = _UNKNOWN if free is None else free // _SHARE
    return max(1, room // window_bytes(dims))
