"""What the golden tests feed to whisperopt. The one place here that knows who makes checkpoints."""

import json
from pathlib import Path

import msgspec
import numpy as np
import soundfile

from tests.makers import SMALL, write_huggingface

MINI = msgspec.structs.replace(
    SMALL,
    width=32,
    vocabulary=272,
    text_context=16,
    encoder_layers=1,
    encoder_heads=2,
    encoder_ffn=32,
    decoder_layers=1,
    decoder_heads=2,
    decoder_kv_heads=2,
    decoder_ffn=32,
)
"""The model of the committed releases: 30 000 parameters."""

WIDE = msgspec.structs.replace(MINI, mels=80, audio_context=1500)
"""As small, but it hears half a minute as every real Whisper does."""

_SENTENCES = ("the first sentence", "a second one", "and a third")


def write_small(folder: Path) -> Path:
    """Write the checkpoint whose artifacts are pinned byte for byte."""
    write_huggingface(folder, SMALL)
    return folder


def write_mini(folder: Path) -> Path:
    """Write the checkpoint of the committed releases; alone in a folder called `mini`."""
    write_huggingface(folder, MINI, seed=2)  # it says printable things, rounded or not
    return folder


def write_wide(folder: Path) -> Path:
    """Write the checkpoint that hears whole clips."""
    write_huggingface(folder, WIDE)
    return folder


def write_sound(path: Path, seconds: float, seed: int = 0) -> Path:
    """Write a chirp in noise, the same bytes on every machine."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    noise = np.random.default_rng(seed).integers(-2000, 2001, time.size)
    wave = 0.2 * np.sin(2 * np.pi * (200 + 150 * seed + 300 * time) * time) + noise / 32768
    soundfile.write(path, np.round(wave * 32767).astype(np.int16), 16_000)
    return path


def write_clips(folder: Path) -> Path:
    """Write a few clips that fit the window of the made-up models, and return their manifest."""
    folder.mkdir(parents=True)
    lines = [{"file": f"c{n}.wav", "text": text} for n, text in enumerate(_SENTENCES)]
    lines.append({"file": "noise.wav", "text": "", "kind": "noise"})
    for seed, line in enumerate(lines):
        write_sound(folder / line["file"], 0.35, seed)
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return manifest
