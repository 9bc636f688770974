"""Reads audio files as Whisper hears them: 16 kHz, mono, float32."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from whisperopt.errors import BadInputError
from whisperopt.whisper import SAMPLE_RATE

if TYPE_CHECKING:
    import soundfile

Samples = npt.NDArray[np.float32]

SHORTEST_SECONDS = 0.1
"""Anything shorter cannot hold a word."""
_SILENT_PEAK = 1e-4
_LOWEST_RATE = 1000
_BLOCK_NUMBERS = 2**24
_CONVERT = "Convert it to WAV, FLAC, Ogg or MP3"


def read(path: Path) -> Samples:
    """Read any file that libsndfile knows as float32 mono at 16 kHz, in -1..1."""
    import soundfile
    import soxr

    if not path.is_file():
        raise BadInputError(f"There is no audio file {path}", "Check the path")
    try:
        with soundfile.SoundFile(path) as file:
            rate, mono = file.samplerate, _mono(file)
    except (soundfile.LibsndfileError, TypeError) as error:
        # soundfile answers with a TypeError where a name such as `x.raw` promises no header
        reason = getattr(error, "error_string", "it has no header that says its sample rate")
        raise BadInputError(f"{path} cannot be read as audio: {reason}", _CONVERT) from None
    if rate < _LOWEST_RATE:
        raise BadInputError(f"{path} claims to have {rate} samples a second", _CONVERT)
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
        raise BadInputError(f"{name} has {samples.ndim} dimensions", "Give one channel of samples")
    if not samples.size:
        raise BadInputError(f"{name} is empty", "Give a recording with at least one word in it")
    seconds = samples.size / SAMPLE_RATE
    if seconds < SHORTEST_SECONDS:
        raise BadInputError(
            f"{name} is only {seconds:.2f} s long", f"Give at least {SHORTEST_SECONDS} s of speech"
        )
    if not np.isfinite(samples).all():
        raise BadInputError(f"{name} holds samples that are no numbers", "Export it again")
    if not audible(samples):
        raise BadInputError(f"{name} is silent", "Check the microphone or the channel")
    return samples


def audible(samples: Samples) -> bool:
    """Say whether `samples` are long and loud enough to hold a word."""
    loud = samples.size > 0 and float(np.abs(samples).max()) >= _SILENT_PEAK
    return loud and samples.size >= SHORTEST_SECONDS * SAMPLE_RATE
