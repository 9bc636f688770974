"""The core model's answers to the clips: what every variant is compared with, wherever it runs.

They travel with a release, so that another machine can prove its variants without the checkpoint.
"""

import functools
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt import documents
from whisperopt.errors import IntegrityError, first_line
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence
from whisperopt.reasons import because
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import Decoding

KEPT = 64
"""Most likely tokens whose probabilities are kept for each position."""
_EVERY = 24
"""Of the encoder's output every so many-th position is kept as it is."""
_SUMS = 96
"""And of all positions so many sums with random signs, which keep angles and distances."""


class ReferenceOutput(msgspec.Struct, frozen=True):
    """One clip: `tokens` after the prompt, what the encoder gave, and each position's likeliest.

    Of the encoder's output [L, D] `hidden` [L / 24, D] keeps every 24th position and `sketch`
    [96, D] a random projection of all, which is small enough to travel: inner products survive it
    within a few percent of their difference (Johnson and Lindenstrauss; with signs: Achlioptas,
    J. Comput. Syst. Sci. 66, 2003). `best` int32 [S, 64] and `log_probabilities` float32 [S, 64]
    cover prompt and tokens.
    """

    sketch: Floats
    hidden: Floats
    tokens: list[int]
    best: npt.NDArray[np.int32]
    log_probabilities: Floats

    @classmethod
    def of(cls, hidden: Floats, tokens: list[int], logits: Floats) -> Self:
        """Keep what is needed of the core model's `hidden` [L, D] and `logits` [S, V]."""
        log_probabilities = log_softmax(logits)
        best = np.argpartition(-log_probabilities, KEPT, axis=-1)[:, :KEPT]
        kept = np.take_along_axis(log_probabilities, best, axis=-1)
        order = np.argsort(-kept, axis=-1)
        ranked = np.take_along_axis(best, order, axis=-1).astype(np.int32)
        sorted_kept = np.take_along_axis(kept, order, axis=-1)
        return cls(_sketch(hidden), hidden[::_EVERY], tokens, ranked, sorted_kept)

    def arrays(self, key: str) -> dict[str, Any]:
        """Return what a file holds of it, each under `key`.

        Hidden states are in half precision, which moves a cosine by about 1e-7.
        """
        held = msgspec.structs.asdict(self) | {
            "sketch": self.sketch.astype(np.float16),
            "hidden": self.hidden.astype(np.float16),
            "tokens": np.array(self.tokens, np.int32),
        }
        return {f"{key}.{name}": array for name, array in held.items()}

    @classmethod
    def load(cls, arrays: Mapping[str, npt.NDArray[Any]], key: str) -> Self:
        """Make sense of what `arrays` gave."""
        held = {name: arrays[f"{key}.{name}"] for name in cls.__struct_fields__}
        return cls(
            held["sketch"].astype(np.float32),
            held["hidden"].astype(np.float32),
            held["tokens"].tolist(),
            held["best"],
            held["log_probabilities"],
        )

    def cosine(self, hidden: Floats) -> float:
        """Return the cosine similarity with another output `hidden` [L, D] of the encoder."""
        a = self.sketch.ravel().astype(np.float64)
        b = _sketch(hidden).ravel().astype(np.float64)
        return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))

    def relative_error(self, hidden: Floats) -> float:
        """Return max|a - b| / max|b| against another output `hidden` [L, D] of the encoder."""
        largest = max(float(np.abs(self.hidden).max()), 1e-30)
        return float(np.abs(hidden[::_EVERY] - self.hidden).max()) / largest

    def agreements(self, logits: Floats) -> int:
        """Count the positions of `logits` [S, V] with the core model's most likely token."""
        return int((logits.argmax(axis=-1) == self.best[:, 0]).sum())

    def kl_sum(self, logits: Floats) -> float:
        """Add up KL(core || variant) in nats over all positions.

        The distributions are compared on the 64 likeliest tokens and all others as one: merging
        outcomes never increases a divergence, so this is a lower bound, and tight where 64 tokens
        hold nearly all probability.
        """
        p = np.exp(self.log_probabilities.astype(np.float64))
        q = np.exp(np.take_along_axis(log_softmax(logits), self.best, axis=-1).astype(np.float64))
        p, q = _with_rest(p), _with_rest(q)
        return float((p * (np.log(p) - np.log(q))).sum())


def log_softmax(logits: Floats) -> Floats:
    """Return log probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    total: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return total


def _sketch(hidden: Floats) -> Floats:
    """Return 96 sums [96, D] of all positions of `hidden` [L, D] with fixed random signs."""
    return (_signs(len(hidden)) @ hidden / np.float32(np.sqrt(len(hidden)))).astype(np.float32)


@functools.cache
def _signs(length: int) -> Floats:
    """Return -1 and 1 [96, length] that are the same on every machine, whatever NumPy it has."""
    stream = hashlib.shake_256(b"whisperopt sketch").digest(_SUMS * length)
    signs: Floats = (np.frombuffer(stream, np.uint8) % 2 * 2.0 - 1.0).astype(np.float32)
    return signs.reshape(_SUMS, length)


def _with_rest(kept: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    rest = 1.0 - kept.sum(axis=-1, keepdims=True)
    whole: npt.NDArray[np.float64] = np.concatenate([kept, rest], axis=-1)
    return np.maximum(whole, 1e-12)


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


def read(path: Path) -> Answers:
    """Read what `evidence.write` wrote."""
    return documents.read(path, Answers, documents.ANSWERS)


class ReferenceOutputs:
    """The numbers behind the answers, one entry per clip, in a folder or in one file.

    The core model's own trial fills the folder; `pack` makes the file that a release carries.
    """

    def __init__(self, path: Path) -> None:
        """Read from, or write into, `path`."""
        self.path = path

    def save(self, clip: Clip, reference: ReferenceOutput) -> None:
        """Keep the core model's answer to `clip` in the folder."""
        partial = self.path / "partial.npz"
        np.savez_compressed(partial, **reference.arrays(_key(clip)))
        partial.replace(self._file(clip))

    def has(self, clip: Clip) -> bool:
        """Say whether the answer to `clip` is in the folder."""
        return self._file(clip).is_file()

    def load(self, clip: Clip) -> ReferenceOutput:
        """Return the core model's answer to `clip`."""
        try:
            with np.load(self._file(clip)) as arrays:
                return ReferenceOutput.load(arrays, _key(clip))
        except Exception as error:  # noqa: BLE001  # NumPy's and zip's own, of many classes
            reason = because("evidence.unread", self._file(clip), why=first_line(error))
            raise IntegrityError(reason) from None

    def pack(self, path: Path, clips: Iterable[Clip]) -> None:
        """Write the entries of all `clips` in the folder to one file."""
        arrays: dict[str, Any] = {}
        for clip in clips:
            with np.load(self._file(clip)) as own:
                arrays |= own
        np.savez_compressed(path, **arrays)

    def _file(self, clip: Clip) -> Path:
        return self.path / f"{_key(clip)}.npz" if self.path.is_dir() else self.path


def _key(clip: Clip) -> str:
    return hashlib.sha256(clip.file.encode()).hexdigest()[:24]
