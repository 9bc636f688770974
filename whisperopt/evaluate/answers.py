"""The core model's answers to the clips: what every variant is compared with, wherever it runs.

They travel with a release, so that another machine can prove its variants without the checkpoint.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.reference import Reference
from whisperopt.whisper import Decoding


class Answers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was played to the fp32 core model, and what it made of it."""

    schema: Literal["1.0"] = "1.0"
    model: str
    checkpoint: str
    """Digest of the weights."""
    decoding: Decoding
    clips: tuple[Clip, ...]
    """Every clip that was played; a variant may have heard only some."""
    evidence: Evidence

    def clip(self, file: str) -> Clip | None:
        """Return the clip called `file`, or None."""
        return next((clip for clip in self.clips if clip.file == file), None)


def write(path: Path, answers: Answers) -> None:
    """Write the answers as JSON, atomically."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(answers) + b"\n")
    partial.replace(path)


def read(path: Path) -> Answers:
    """Read what `write` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Answers)


class References:
    """The numbers behind the answers, one entry per clip, in a folder or in one file.

    The core model's own trial fills the folder; `pack` makes the file that a release carries.
    """

    def __init__(self, path: Path) -> None:
        """Read from, or write into, `path`."""
        self.path = path

    def save(self, clip: Clip, reference: Reference) -> None:
        """Keep the core model's answer to `clip` in the folder."""
        partial = self.path / "partial.npz"
        reference.save(partial)
        partial.replace(self.path / _entry(clip))

    def has(self, clip: Clip) -> bool:
        """Say whether the answer to `clip` is in the folder."""
        return (self.path / _entry(clip)).is_file()

    def load(self, clip: Clip) -> Reference:
        """Return the core model's answer to `clip`."""
        if self.path.is_dir():
            with np.load(self.path / _entry(clip)) as own:
                return Reference.load(dict(own))
        with np.load(self.path) as packed:
            return Reference.load(
                {part: packed[f"{_key(clip)}.{part}"] for part in Reference.PARTS}
            )

    def pack(self, path: Path, clips: Iterable[Clip]) -> None:
        """Write the entries of all `clips` in the folder to one file."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for clip in clips:
            with np.load(self.path / _entry(clip)) as own:
                arrays |= {f"{_key(clip)}.{part}": own[part] for part in Reference.PARTS}
        np.savez_compressed(path, allow_pickle=False, **arrays)


def _key(clip: Clip) -> str:
    return hashlib.sha256(clip.file.encode()).hexdigest()[:24]


def _entry(clip: Clip) -> str:
    return f"{_key(clip)}.npz"
