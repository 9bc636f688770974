"""What the encoder hears: the whole window, or the clip and the silence behind it in few spans."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from whisperopt.runtime import mel
from whisperopt.whisper import SAMPLE_RATE

if TYPE_CHECKING:
    from whisperopt.backend import Decoder, Session
    from whisperopt.runtime.arrays import Floats, Spans
    from whisperopt.whisper import Dimensions

_GROWTH = 0.1
"""How much longer spans get with their distance from what is heard whole."""
_EDGE = 2
"""Positions at the end that the convolutions' zero padding reaches."""
_STEP = 25
"""Positions (half a second) between two lengths: runtimes prepare every shape once."""


def prepare(
    clips: "Sequence[Floats]", dims: "Dimensions", tail: float | None
) -> "tuple[Floats, Spans | None]":
    """Return log-mel features float32 [B, mels, 2 L] of `clips`, and how much of the window each is.

    Each of the L positions that the encoder computes stands for so many of the window's as the
    spans int32 [L] say: one each for the longest clip and `tail` seconds more, and more and more
    of the silence behind. Without a `tail` the window is heard whole, and there are no spans.
    """
    features = np.stack([mel.log_mel(clip, dims.mels, dims.frames) for clip in clips])
    if tail is None:
        return features, None
    longest = max(clip.size for clip in clips) / SAMPLE_RATE
    found = spans(longest + tail, dims)
    heard = 2 * int(np.logical_and.accumulate(found == 1).sum())
    silence = np.repeat(features[:, :, -1:], 2 * found.size - heard, axis=2)
    return np.concatenate([features[:, :, :heard], silence], axis=2), found


def spans(seconds: float, dims: "Dimensions") -> "Spans":
    """Return how many of the window's positions each that is computed stands for, int32 [L].

    Every position of the first `seconds` stands for itself; from there on a span is a tenth as
    long as its distance, and at the very end, where the window's edge is heard, one again.
    """
    per_second = SAMPLE_RATE * dims.audio_context / dims.window
    whole = min(dims.audio_context, -int(-seconds * per_second // _STEP) * _STEP)
    edge = dims.audio_context - _EDGE
    found, start = [1] * whole, whole
    while start < edge:
        found.append(min(max(1, int((start - whole) * _GROWTH)), edge - start))
        start += found[-1]
    return np.array([*found, *[1] * (dims.audio_context - start)], np.int32)


def encode(session: "Session", features: "Floats", spans: "Spans | None") -> "Decoder":
    """Encode what `prepare` gave; sessions of models without an audio tail know of no spans."""
    return session.encode(features) if spans is None else session.encode(features, spans)
