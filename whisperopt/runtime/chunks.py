"""Where a long recording is cut: in its pauses, so that no word is split and silence costs nothing.

What is speech is decided by loudness alone, against a threshold between the noise and the voice
that are heard around each moment. Among all ways to cut, the one with the least price is taken.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import SAMPLE_RATE

FRAME = SAMPLE_RATE // 50
"""Samples of one frame: loudness is known every 20 ms, which is one of the encoder's positions."""
_PAUSE = 10
"""Frames (0.2 s): the shortest pause that may be cut; closures of consonants are half as long."""
_PADDING = 10
"""Frames kept around speech: soft beginnings and ends are not loud."""
_SHORTEST = 5
"""Frames (0.1 s): anything shorter between two pauses is a click."""
_AROUND = 500
"""Frames (10 s) on either side that noise and voice are judged by."""
_HOP = 250
_DEEPEST = 50.0
"""Decibels below the voice where noise ends: digital silence is no better than that."""
_RANGE = 8.0
"""Decibels between noise and voice: with less between them, nobody can tell them apart."""
_NEAR = 4.0
"""Decibels above the noise of other stretches that a stretch of nothing but noise may have."""
_FEW = 2
"""Percent of the frames around that are enough to know the noise from, or the voice: 0.4 s."""
_SHARE = 0.3
"""How far from the noise to the voice speech begins, in decibels."""
_ROUGHNESS = 0.4
"""The price of a cut in a pause of one second, in seconds; half the pause is twice the price."""


_Stretch = tuple[int, int]
"""First frame, and the one after the last."""


class Chunk(NamedTuple):
    """A stretch of a recording, in samples."""

    start: int
    end: int
    split: bool = False
    """Whether somebody speaks on where it ends."""


def divide(samples: Floats, longest: int) -> list[Chunk]:
    """Return the chunks of mono `samples` at 16 kHz that hold speech, in order, without overlap.

    None is longer than `longest` samples. Chunks begin and end in pauses of at least 0.2 s; where
    somebody speaks for longer than `longest` without one, the cut is at the quietest moment of
    the last third. Silence between chunks is left out; a recording without speech has no chunks.
    Where noise and voice cannot be told apart, everything counts as speech, unless it is as quiet
    as the noise elsewhere.
    """
    loudness = _loudness(samples)
    most = longest // FRAME
    padding = min(_PADDING, most // 4)
    stretches = _bounded(_spoken(loudness), loudness, most - 2 * padding)
    chunks = _cheapest(stretches, most - 2 * padding)
    if not chunks:
        return []
    padded = _padded(chunks, len(loudness), padding)
    after = [*(start for start, _ in chunks[1:]), 0]
    return [
        Chunk(start * FRAME, min(end * FRAME, samples.size), split=last == following)
        for (start, end), (_, last), following in zip(padded, chunks, after, strict=True)
    ]


def _loudness(samples: Floats) -> Floats:
    """Return decibels of each frame's changes from sample to sample: hum and offset do not count."""
    frames = -(-samples.size // FRAME)
    changes = np.zeros(frames * FRAME, np.float32)
    np.subtract(samples[1:], samples[:-1], out=changes[1 : samples.size])
    framed = changes.reshape(frames, FRAME)
    power = np.einsum("ij,ij->i", framed, framed) / np.float32(FRAME)
    decibels: Floats = 10 * np.log10(power + np.float32(1e-10))
    return decibels


def _threshold(loudness: Floats) -> Floats:
    """Return for each frame the loudness above which somebody speaks."""
    centres = np.arange(0, len(loudness), _HOP)
    around = [loudness[max(0, centre - _AROUND) : centre + _AROUND] for centre in centres]
    lowest, voice = np.array([np.percentile(part, (_FEW, 100 - _FEW)) for part in around]).T
    noise = np.maximum(lowest, voice - _DEEPEST)
    known = voice - noise >= _RANGE
    if not known.any():
        return np.full(len(loudness), -np.inf, np.float32)
    local = noise + _SHARE * (voice - noise)
    local[~known] = np.median(local[known])
    threshold = np.repeat(local, _HOP)[: len(loudness)].astype(np.float32)
    quiet = np.percentile(noise[known], 25) + _NEAR  # some noise is a voice without a pause
    for centre in centres[~known & (lowest > quiet)]:
        threshold[max(0, centre - _AROUND) : centre + _AROUND] = -np.inf
    return threshold


def _spoken(loudness: Floats) -> list[_Stretch]:
    """Return the stretches of frames between pauses."""
    loud = np.flatnonzero(loudness > _threshold(loudness))
    if not loud.size:
        return []
    after = np.flatnonzero(np.diff(loud) > _PAUSE)
    starts, ends = loud[np.append(0, after + 1)], loud[np.append(after, -1)] + 1
    both = zip(starts.tolist(), ends.tolist(), strict=True)
    return [(start, end) for start, end in both if end - start >= _SHORTEST]


def _bounded(stretches: Sequence[_Stretch], loudness: Floats, most: int) -> list[_Stretch]:
    """Cut stretches longer than `most` frames where it is quietest."""
    smooth = np.convolve(loudness, np.full(3, 1 / 3), "same")
    found = []
    for start, end in stretches:
        while end - start > most:
            early, late = start + 2 * most // 3, min(start + most, end - most // 4)
            cut = early + int(smooth[early:late].argmin())
            found.append((start, cut))
            start = cut  # noqa: PLW2901  # the rest of this stretch
        found.append((start, end))
    return found


def _cheapest(stretches: Sequence[_Stretch], most: int) -> list[_Stretch]:
    """Join neighbours into chunks of at most `most` frames so that all cost least together.

    Each costs the longest chunk, which makes them few, and its own length, which leaves silence
    out; few, because what was said before helps to understand what follows.
    """
    costs, firsts = [0.0], []
    for last, (_, end) in enumerate(stretches):
        options = [(np.inf, last)]
        for first in range(last, -1, -1):
            start = stretches[first][0]
            if end - start > most:
                break
            pause = (start - stretches[first - 1][1]) * FRAME / SAMPLE_RATE
            cut = _ROUGHNESS / max(pause, 0.02) if first else 0.0
            seconds = (most + end - start) * FRAME / SAMPLE_RATE
            options.append((costs[first] + cut + seconds, first))
        cost, first = min(options)
        costs.append(cost)
        firsts.append(first)
    chunks, last = [], len(stretches) - 1
    while last >= 0:
        chunks.append((stretches[firsts[last]][0], stretches[last][1]))
        last = firsts[last] - 1
    return chunks[::-1]


def _padded(chunks: Sequence[_Stretch], frames: int, padding: int) -> list[_Stretch]:
    """Widen each chunk by the padding, or up to the middle of a shorter pause."""
    pauses = [(end, start) for (_, end), (start, _) in pairwise(chunks)]
    starts = [max(a - padding, (z + a) // 2) for z, a in pauses]
    ends = [min(z + padding, (z + a) // 2) for z, a in pauses]
    first, last = max(0, chunks[0][0] - padding), min(frames, chunks[-1][1] + padding)
    return list(zip([first, *starts], [*ends, last], strict=True))
