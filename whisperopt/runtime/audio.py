"""Reads recordings as Whisper hears them: 16 kHz, mono, float32, in chunks that hold speech."""

import os
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from whisperopt import process
from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.runtime import chunks
from whisperopt.runtime.arrays import Floats
from whisperopt.runtime.chunks import Chunk
from whisperopt.whisper import SAMPLE_RATE

if TYPE_CHECKING:
    import soundfile

SHORTEST_SECONDS = 0.1
"""Anything shorter cannot hold a word."""
LONGEST = "WHISPEROPT_AUDIO_HOURS"
"""The variable that says how long a recording may be: an hour takes some 0.3 GB of memory."""
_HOURS = 8
_SILENT_PEAK = 1e-4
_LOUD_PEAK = 1e6
"""Integers of 16 bits, taken as they are, stay below."""
_MAX_CHUNKS = 10_000
_NEGATIVE = 1 << 31
_UNKNOWN = 1 << 50
_LOWEST_RATE = 1000
_BLOCK_NUMBERS = 2**24


def read(path: Path) -> Floats:
    """Read any file that libsndfile knows as float32 mono at 16 kHz, in -1..1."""
    import soundfile

    if not path.is_file():
        raise BadInputError(because("audio.absent", path))
    _check_lists(path)
    hours = process.bound(LONGEST, _HOURS)
    try:
        name = path if os.name == "nt" else os.fsencode(path)  # which need not be text
        with soundfile.SoundFile(name) as file:
            if file.samplerate < _LOWEST_RATE:
                raise BadInputError(because("audio.rate", path, rate=file.samplerate))
            most = round(hours * 3600 * SAMPLE_RATE)
            promised = file.frames * SAMPLE_RATE // file.samplerate
            too_long = most < promised < _UNKNOWN
            samples = None if too_long else _heard(file, most)
    except (soundfile.LibsndfileError, TypeError) as error:
        # soundfile answers with a TypeError where a name such as `x.raw` promises no header
        why = getattr(error, "error_string", "it has no header that says its sample rate")
        raise BadInputError(because("audio.unreadable", path, why=str(why))) from None
    if samples is None:
        raise BadInputError(because("audio.long", path, most=hours, variable=LONGEST))
    return samples


def _check_lists(path: Path) -> None:
    """Refuse a WAV with a list, or a part of one, of a negative size: libsndfile never leaves it."""
    with path.open("rb") as file:
        head, end = file.read(12), os.fstat(file.fileno()).st_size
        if head[:4] not in {b"RIFF", b"RIFX", b"RF64"} or head[8:] != b"WAVE":
            return
        header = struct.Struct(">4sI" if head[:4] == b"RIFX" else "<4sI")
        until = 0
        for _ in range(_MAX_CHUNKS):
            found = file.read(header.size)
            if len(found) < header.size:
                return
            kind, size = header.unpack(found)
            if kind in {b"LIST", b"list"}:
                until = max(until, file.tell() + size)
                if until > end + 1:
                    break
                size = 4  # its kind; its parts follow, and are looked at as chunks
            elif size >= _NEGATIVE and (kind not in {b"data", b"ds64"} or file.tell() < until):
                break
            file.seek(size + size % 2, os.SEEK_CUR)
    raise BadInputError(because("audio.unreadable", path, why="its header leads nowhere"))


def _heard(file: "soundfile.SoundFile", most: int) -> Floats | None:
    """Return the mean of all channels at 16 kHz; None: there are more than `most` samples.

    Block by block: a damaged header may promise terabytes.
    """
    import soxr

    frames, rate = max(1, _BLOCK_NUMBERS // file.channels), file.samplerate
    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1) if rate != SAMPLE_RATE else None
    heard, last = np.zeros(0, np.float32), False
    while not last and (count := heard.size) <= most:
        block = file.read(frames, dtype="float32", always_2d=True)
        last = not block.size
        with np.errstate(over="ignore", invalid="ignore"):  # judged as a whole: see `check`
            mono = block.sum(axis=1, dtype=np.float32) / np.float32(file.channels)
        if stream is not None:
            mono = stream.resample_chunk(mono, last=last)
        heard.resize(count + mono.size, refcheck=False)
        heard[count:] = mono
    return heard if heard.size <= most else None


def check(samples: Floats, name: str) -> Floats:
    """Return `samples` if they can hold speech; otherwise say what is wrong with `name`."""
    if samples.ndim != 1:
        raise BadInputError(because("audio.dimensions", name, found=samples.ndim))
    if not samples.size:
        raise BadInputError(because("audio.empty", name))
    seconds = samples.size / SAMPLE_RATE
    if seconds < SHORTEST_SECONDS:
        facts = {"seconds": seconds, "least": SHORTEST_SECONDS}
        raise BadInputError(because("audio.short", name, **facts))
    if not np.isfinite(samples).all():
        raise BadInputError(because("audio.no-numbers", name))
    peak = max(float(samples.max()), -float(samples.min()))
    if peak < _SILENT_PEAK:
        raise BadInputError(because("audio.silent", name))
    if peak > _LOUD_PEAK:
        raise BadInputError(because("audio.loud", name, peak=peak))
    return samples


class Recording(NamedTuple):
    """Samples that are ready to be heard, chunk by chunk."""

    name: str
    samples: Floats
    chunks: Sequence[Chunk]
    notes: tuple[str, ...] = ()

    def samples_of(self, place: int) -> Floats:
        """Return the samples of one chunk."""
        return self.samples[self.chunks[place].start : self.chunks[place].end]


def recording(source: str | Path | Floats, place: int, window: int) -> Recording | BadInputError:
    """Read `source`, which is the `place`-th of all, or say why it cannot be used.

    Up to `window` samples are one chunk as they are, longer recordings are cut in their pauses.
    """
    try:
        if isinstance(source, str | Path):
            name, samples = str(source), read(Path(source))
        else:
            name = "the audio" if place == 1 else f"audio {place}"
            samples = np.asarray(source)
            if not np.issubdtype(samples.dtype, np.floating):
                raise BadInputError(because("audio.no-floats", samples.dtype))  # noqa: TRY301
            samples = samples.astype(np.float32, copy=False)
        check(samples, name)
    except BadInputError as error:
        return error
    if samples.size <= window:
        return Recording(name, samples, [Chunk(0, samples.size)])
    found = chunks.divide(samples, window)
    return Recording(name, samples, found, tuple(_notes(name, samples.size, found)))


def _notes(name: str, samples: int, found: Sequence[Chunk]) -> Iterator[str]:
    if not found:
        yield f"nobody speaks in {name}"
        return
    yield f"{name} was heard in {len(found)} chunks, cut in its pauses"
    dropped = samples - sum(chunk.end - chunk.start for chunk in found)
    if dropped >= SAMPLE_RATE:
        yield f"{dropped / SAMPLE_RATE:.1f} s of silence in {name} were left out"
    split = sum(before.split for before, _ in pairwise(found))
    if split:
        yield f"nobody pauses at {split} of the cuts in {name}, which may split words there"
