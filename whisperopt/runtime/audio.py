"""Reads audio files as Whisper hears them: 16 kHz, mono, float32."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.whisper import SAMPLE_RATE

if TYPE_CHECKING:
    import soundfile

Samples = npt.NDArray[np.float32]

SHORTEST_SECONDS = 0.1
"""Anything shorter cannot hold a word."""
_SILENT_PEAK = 1e-4
_LOWEST_RATE = 1000
_BLOCK_NUMBERS = 2**24


def read(path: Path) -> Samples:
    """Read any file that libsndfile knows as float32 mono at 16 kHz, in -1..1."""
    import soundfile
    import soxr

    if not path.is_file():
        raise BadInputError(because("audio.absent", path))
    try:
        with soundfile.SoundFile(path) as file:
            rate, mono = file.samplerate, _mono(file)
    except (soundfile.LibsndfileError, TypeError) as error:
        # soundfile answers with a TypeError where a name such as `x.raw` promises no header
        why = getattr(error, "error_string", "it has no header that says its sample rate")
        raise BadInputError(because("audio.unreadable", path, why=str(why))) from None
    if rate < _LOWEST_RATE:
        raise BadInputError(because("audio.rate", path, rate=rate))
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    return np.ascontiguousarray(mono, np.float32)


def _mono(file: "soundfile.SoundFile") -> Samples:
    """Average the channels, block by block: a damaged header may promise terabytes."""
    frames = max(1, _BLOCK_NUMBERS // file.channels)
    blocks = [np.zeros(0, np.float32)]
    while (block := file.read(frames, dtype="float32", always_2d=True)).size:
        blocks.append(block.mean(axis=1, dtype=np.float32))
    return np.concatenate(blocks)


def check(samples: Samples, name: str) -> Samples:
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
    if not audible(samples):
        raise BadInputError(because("audio.silent", name))
    return samples


def audible(samples: Samples) -> bool:
    """Say whether `samples` are long and loud enough to hold a word."""
    loud = samples.size > 0 and float(np.abs(samples).max()) >= _SILENT_PEAK
    return loud and samples.size >= SHORTEST_SECONDS * SAMPLE_RATE
