"""Backends, artifacts and recordings to race with, made in a moment."""

from pathlib import Path

import numpy as np
import soundfile

from tests.selection import releases
from tests.sites import Site, source
from whisperopt.evaluate.clips import Clip, ClipSet
from whisperopt.evaluate.evidence import Lap, Race

TOKENIZER = """
{"model": {"type": "BPE", "vocab": {"a": 0}}, "decoder": {"type": "ByteLevel"}}
"""


def entrant(
    site: Path, name: str, *, max_batch: int | None = None, **deeds: str
) -> tuple[str, Path]:
    """Install a backend called `name` that does `deeds`, and write an artifact for it."""
    module = source(name, **deeds).replace("max_batch = None", f"max_batch = {max_batch}")
    Site(site).backend(f"whisperopt-{name}", name, module)
    releases.write_artifact(site / "artifacts" / name, target=name)
    (site / "artifacts" / name / "tokenizer.json").write_text(TOKENIZER, "utf-8")
    return f"{name}-gqa-fp32", site / "artifacts" / name


def clip_set(folder: Path, *seconds: float) -> ClipSet:
    """Write recordings of noise, called after their place: `0.wav`."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for place, length in enumerate(seconds):
        noise = 0.1 * random.standard_normal(round(length * 16_000))
        soundfile.write(folder / f"{place}.wav", noise.astype(np.float32), 16_000)
    return ClipSet(
        name="made",
        manifest=folder / "manifest.jsonl",
        clips=tuple(Clip(file=f"{place}.wav", text="hm") for place in range(len(seconds))),
        digest="sha256:0",
    )


def race(*milliseconds: float, batch: float | None = None, rss_mb: int = 100) -> Race:
    """Return a race whose rounds, behind one that warms up, took so long for a clip of 2 s."""
    laps = [lap(0, 9999)]
    for number, time in enumerate(milliseconds, 1):
        laps.append(lap(number, time))
        if batch is not None:
            laps.append(lap(number, batch, clips=4))
    return Race(
        rivals=("a",),
        started="2026-11-22T10:00:00+00:00",
        load_ns=1_000_000,
        peak_rss_bytes=rss_mb * 2**20,
        laps=tuple(laps),
    )


def lap(number: int, milliseconds: float, clips: int = 1) -> Lap:
    """Return one lap over clips of 2 s."""
    return Lap(
        round=number,
        clips=tuple(f"{place}.wav" for place in range(clips)),
        seconds=2.0 * clips,
        total_ns=round(milliseconds * 1e6),
    )
