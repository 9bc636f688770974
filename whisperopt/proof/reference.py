"""What the fp32 core model says to each clip, kept on disk while variants are compared with it."""

from pathlib import Path
from typing import Self

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt.arrays import Floats

KEPT = 64
"""Most likely tokens whose probabilities are kept for each position."""


class Reference(msgspec.Struct, frozen=True):
    """One clip: `hidden` [L, D], `tokens` after the prompt, the likeliest tokens of each position.

    `best` int32 [S, 64] and `log_probabilities` float32 [S, 64] cover prompt and tokens.
    """

    hidden: Floats
    tokens: list[int]
    best: npt.NDArray[np.int32]
    log_probabilities: Floats

    @classmethod
    def of(cls, hidden: Floats, tokens: list[int], logits: Floats) -> Self:
        """Keep what is needed of the core model's `logits` [S, V]."""
        log_probabilities = log_softmax(logits)
        best = np.argpartition(-log_probabilities, KEPT, axis=-1)[:, :KEPT]
        kept = np.take_along_axis(log_probabilities, best, axis=-1)
        order = np.argsort(-kept, axis=-1)
        ranked = np.take_along_axis(best, order, axis=-1).astype(np.int32)
        return cls(hidden, tokens, ranked, np.take_along_axis(kept, order, axis=-1))

    def save(self, path: Path) -> None:
        """Write one file; hidden states in half precision, which moves a cosine by about 1e-7."""
        np.savez(
            path,
            hidden=self.hidden.astype(np.float16),
            tokens=np.array(self.tokens, np.int32),
            best=self.best,
            log_probabilities=self.log_probabilities,
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as file:
            return cls(
                file["hidden"].astype(np.float32),
                file["tokens"].tolist(),
                file["best"],
                file["log_probabilities"],
            )

    def cosine(self, hidden: Floats) -> float:
        """Return the cosine similarity of two encoder outputs."""
        a, b = self.hidden.ravel().astype(np.float64), hidden.ravel().astype(np.float64)
        return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))

    def relative_error(self, hidden: Floats) -> float:
        """Return max|a - b| / max|b| of two encoder outputs."""
        largest = max(float(np.abs(self.hidden).max()), 1e-30)
        return float(np.abs(hidden - self.hidden).max()) / largest

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


def _with_rest(kept: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    rest = 1.0 - kept.sum(axis=-1, keepdims=True)
    whole: npt.NDArray[np.float64] = np.concatenate([kept, rest], axis=-1)
    return np.maximum(whole, 1e-12)
