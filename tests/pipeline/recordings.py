"""Clips that are short enough for the window of the small made-up model."""

import json
from pathlib import Path

import soundfile

from whisperopt.evaluate import clips
from whisperopt.whisper import SAMPLE_RATE

SECONDS = 0.35


def write_clips(folder: Path, spoken: int = 4) -> Path:
    """Cut some of the packaged clips to 0.35 s; one is named by an absolute path."""
    packaged = clips.read(clips.packaged())
    chosen = [clip for clip in packaged.clips if clip.kind == "speech"][:spoken]
    chosen += [clip for clip in packaged.clips if clip.kind == "noise"][:1]
    folder.mkdir(parents=True)
    lines = []
    for clip in chosen:
        path = folder / Path(clip.file).with_suffix(".wav").name
        samples = packaged.samples(clip)[SAMPLE_RATE:]
        soundfile.write(path, samples[: round(SECONDS * SAMPLE_RATE)], SAMPLE_RATE)
        file = path.name if lines else str(path)
        lines.append(json.dumps({"file": file, "text": clip.text, "kind": clip.kind}))
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(lines), "utf-8")
    return manifest
