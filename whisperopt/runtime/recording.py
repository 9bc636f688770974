"""One recording as it is listened to: samples, and the chunks that hold speech."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.runtime import audio, chunks
from whisperopt.runtime.arrays import Floats
from whisperopt.runtime.chunks import Chunk
from whisperopt.whisper import SAMPLE_RATE

_ONE_SECOND = SAMPLE_RATE


class Recording(NamedTuple):
    """Samples that are ready to be heard, chunk by chunk."""

    name: str
    samples: Floats
    chunks: Sequence[Chunk]
    notes: tuple[str, ...] = ()

    def samples_of(self, place: int) -> Floats:
        """Return the samples of one chunk."""
        return self.samples[self.chunks[place].start : self.chunks[place].end]


def read(source: str | Path | Floats, place: int, window: int) -> Recording | BadInputError:
    """Read `source`, which is the `place`-th of all, or say why it cannot be used.

    Up to `window` samples are one chunk as they are, longer recordings are cut in their pauses.
    """
    try:
        if isinstance(source, str | Path):
            name, samples = str(source), audio.read(Path(source))
        else:
            name = "the audio" if place == 1 else f"audio {place}"
            samples = _floats(source)
        audio.check(samples, name)
    except BadInputError as error:
        return error
    if samples.size <= window:
        return Recording(name, samples, [Chunk(0, samples.size)])
    found = chunks.divide(samples, window)
    return Recording(name, samples, found, tuple(_notes(name, samples.size, found)))


def _floats(samples: Floats) -> Floats:
    kind = np.asarray(samples).dtype
    if not np.issubdtype(kind, np.floating):
        raise BadInputError(because("audio.no-floats", kind))
    return np.asarray(samples, np.float32)


def _notes(name: str, samples: int, found: Sequence[Chunk]) -> Iterator[str]:
    if not found:
        yield f"nobody speaks in {name}"
        return
    yield f"{name} was heard in {len(found)} chunks, cut in its pauses"
    dropped = samples - sum(chunk.end - chunk.start for chunk in found)
    if dropped >= _ONE_SECOND:
        yield f"{dropped / SAMPLE_RATE:.1f} s of silence in {name} were left out"
    split = sum(before.split for before, _ in pairwise(found))
    if split:
        yield f"nobody pauses at {split} of the cuts in {name}, which may split words there"
