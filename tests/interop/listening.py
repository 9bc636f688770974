"""Packaged clips, and what whisperopt's own core model hears in them."""

from functools import cache
from pathlib import Path

from tests.numerics.speech import sample
from tests.passes import forms
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.evaluate import clips as clip_sets
from whisperopt.runtime.arrays import Floats
from whisperopt.runtime.transcriber import Transcriber

CLIPS = ("s001.ogg", "s005.ogg")


@cache
def samples(name: str) -> Floats:
    """Return one packaged clip at 16 kHz."""
    clip_set = clip_sets.read(clip_sets.packaged())
    return clip_set.samples(next(clip for clip in clip_set.clips if clip.file == name))


def checkpoint(name: str) -> Checkpoint:
    """Open a sample model, or skip the test."""
    return sample(name)


def heard(name: str, folder: Path, language: str | None = None) -> list[str]:
    """Return what the core model of a sample writes for each clip."""
    made = forms.write(checkpoint(name), forms.CORE, folder)
    transcriber = Transcriber(made, forms.open_session(made))
    return [transcriber.transcribe(samples(clip), language).text for clip in CLIPS]
