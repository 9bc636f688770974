"""Writes the recorded references in `tests/numerics/recorded` from Hugging Face's transformers.

    python -m ci.record_references

Needs the extras `reference` and `sample`. The clips are written as FLAC, which every machine
decodes to the same samples.
"""

import sys
from pathlib import Path

import msgspec
import numpy as np

from tests.numerics import recorded
from tests.numerics.recorded import Mel, Reference
from tests.numerics.speech import MODELS, STEPS
from tests.numerics.torch_whisper import TorchWhisper
from whisperopt.checkpoint.resolve import resolve
from whisperopt.evaluate import clips
from whisperopt.runtime import audio
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import SAMPLE_RATE

CLIPS = ("s020", "s060")


def main() -> None:
    """Write the clips, their features, and what both sample models make of them."""
    recorded.FOLDER.mkdir(exist_ok=True)
    files = [_write_clip(name) for name in CLIPS]
    samples = [audio.read(file) for file in files]
    _write("mel", _mel(files[0].name, samples[0]))
    for model in MODELS:
        _write(model, _reference(model, files, samples))


def extract(samples: Floats, mels: int) -> Floats:
    """Return features float32 [mels, 3000] as transformers computes them."""
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=mels)
    found = extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="np")
    return np.asarray(found.input_features[0], np.float32)


def _write_clip(name: str) -> Path:
    import soundfile

    target = recorded.FOLDER / f"{name}.flac"
    samples = audio.read(clips.packaged().parent / f"{name}.ogg")
    soundfile.write(target, samples, SAMPLE_RATE, subtype="PCM_16")
    return target


def _mel(file: str, samples: Floats) -> Mel:
    features = {
        mels: extract(samples, mels)[:: recorded.MEL_CHANNELS, :: recorded.MEL_FRAMES]
        for mels in (80, 128)
    }
    shortened = {
        mels: [recorded.shortened(row) for row in rows] for mels, rows in features.items()
    }
    return Mel(file=file, transformers=_version(), features=shortened)


def _reference(model: str, files: list[Path], samples: list[Floats]) -> Reference:
    checkpoint = resolve(model)
    features = np.stack([extract(clip, checkpoint.dims.mels) for clip in samples])
    prompt = checkpoint.decoding.prompt("en")
    prompts = np.array([prompt] * len(files), np.int32)
    tokens, run = TorchWhisper(checkpoint).greedy(features, prompts, STEPS)
    return Reference(
        model=model,
        checkpoint=checkpoint.digest(),
        transformers=_version(),
        prompt=prompt,
        clips=[
            recorded.clip_of(
                file.name,
                run.hidden[row],
                [step[row] for step in run.logits],
                tokens[row].tolist(),
            )
            for row, file in enumerate(files)
        ],
    )


def _version() -> str:
    import transformers

    return str(transformers.__version__)


def _write(name: str, content: Mel | Reference) -> None:
    path = recorded.FOLDER / f"{name}.json"
    path.write_bytes(msgspec.json.encode(content) + b"\n")
    sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
