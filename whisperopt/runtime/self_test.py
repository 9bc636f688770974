"""The self-test on open: the encoder, a prefill and a step against the core model's own values.

Several runtimes and drivers fail silently, with numbers of the right shape. The first time that an
artifact is opened on a host, its session must come close to what the core model computes, which
`graph/exact.py` wrote into it when it was built. The first of the three that does not is where to
look.
"""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt import documents
from whisperopt.artifact import Artifact
from whisperopt.backend import Precision, Session
from whisperopt.errors import WhisperoptError, others_as
from whisperopt.reasons import because
from whisperopt.runtime import mel
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import SAMPLE_RATE, Dimensions

FILE = "self_test.json"
_KEPT = 32
_QUARTERS = 4
_DIGITS = 4
"""Of the largest value, the others as far: what is computed in double precision has them anywhere."""
_TOLERANCE: dict[Precision, float] = {"fp32": 0.01, "fp16": 0.05, "bf16": 0.1, "int8": 0.2}
"""Largest relative error of the kept values; what fails silently is off by far more."""


class Hidden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The encoder's output: means over each quarter of the time, of channels far apart.

    What rounding does to single values cancels out in means, and every weight takes part in them.
    """

    means: list[list[float]]
    """One list a quarter."""

    @classmethod
    def of(cls, hidden: npt.NDArray[np.floating]) -> Self:
        """Keep the means of `hidden` [L, D]."""
        return cls(means=_means(hidden).tolist())

    def error(self, hidden: Floats) -> float:
        """Return ||a - b|| / ||b|| over the kept means; what is no number is infinitely off."""
        return _error(_means(hidden), self.means)


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last position after one call: its likeliest tokens and their logits."""

    ids: list[int]
    """What was fed."""
    tokens: list[int]
    logits: list[float]

    @classmethod
    def of(cls, ids: list[int], logits: npt.NDArray[np.floating]) -> Self:
        """Keep the likeliest tokens of `logits` [V]."""
        tokens = np.argsort(-logits)[:_KEPT]
        return cls(ids=ids, tokens=tokens.tolist(), logits=logits[tokens].tolist())

    def error(self, logits: Floats) -> float:
        """Return max|a - b| / max|b| over the kept tokens; what is no number is infinitely off."""
        return _error(logits[self.tokens], self.logits, np.inf)


class SelfTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the core model says to a sound that everybody can make again."""

    encoder: Hidden | None = None
    """None: it was recorded before whisperopt kept any."""
    prefill: Step
    decode: Step

    def rounded(self) -> Self:
        """Return it with the digits that do not depend on who computed it."""
        means = np.array(self.encoder.means if self.encoder else [])
        prefill, decode = (
            msgspec.structs.replace(step, logits=_short(np.array(step.logits)))
            for step in (self.prefill, self.decode)
        )
        encoder = self.encoder and Hidden(means=_short(means))
        return msgspec.structs.replace(self, encoder=encoder, prefill=prefill, decode=decode)

    def problem(self, dims: Dimensions) -> str | None:
        """Return why this cannot come from a model of size `dims`, or None."""
        if self.encoder is not None:
            channels = len(range(0, dims.width, _between(dims.width)))
            if [len(quarter) for quarter in self.encoder.means] != [channels] * _QUARTERS:
                return "means of other channels than the encoder has"
        for step in (self.prefill, self.decode):
            if not step.ids or not step.tokens or len(step.tokens) != len(step.logits):
                return "a step without tokens, or without a logit for each"
            if not all(0 <= token < dims.vocabulary for token in (*step.ids, *step.tokens)):
                return "a token that the vocabulary does not have"
        return None


def record(session: Session, dims: Dimensions, prompt: list[int]) -> SelfTest:
    """Run prompt and one more token, the likeliest, through the core model."""
    decoder = session.encode(sound(dims))
    encoder = Hidden.of(decoder.hidden_states()[0])
    first = decoder.step(np.array([prompt], np.int32))[0, -1].copy()
    following = [int(first.argmax())]
    second = decoder.step(np.array([following], np.int32))[0, -1]
    return SelfTest(
        encoder=encoder, prefill=Step.of(prompt, first), decode=Step.of(following, second)
    )


def check(session: Session, artifact: Artifact) -> bool:
    """Raise `WhisperoptError` if `session` does not compute what its artifact promises.

    An artifact that was built without proof holds no expected values: False, and nothing was run.
    """
    if (expected := read(artifact)) is not None:
        with others_as("self-test.failed"):
            _compare(session, artifact, expected)
    return expected is not None


def _compare(session: Session, artifact: Artifact, expected: SelfTest) -> None:
    dims, recipe = artifact.manifest.dims, artifact.manifest.recipe
    decoder = session.encode(sound(dims))
    agreed = ""
    if expected.encoder is not None:
        hidden = decoder.hidden_states()
        own = {recipe.encoder_precision, recipe.computes or recipe.encoder_precision}
        _need_shape("encoder", hidden, (1, dims.audio_context, dims.width))
        _need_close("encoder", expected.encoder.error(hidden[0]), own)
        agreed = ", though its encoder agrees"
    for name, step in (("prefill", expected.prefill), ("decode", expected.decode)):
        logits = decoder.step(np.array([step.ids], np.int32))
        _need_shape(name, logits, (1, len(step.ids), dims.vocabulary))
        _need_close(name, step.error(logits[0, -1]), recipe.precisions, agreed)
        agreed = ", though its prefill agrees (look at cache and positions)"


def _need_shape(name: str, found: Floats, shape: tuple[int, ...]) -> None:
    if found.shape != shape:
        given, wanted = str(found.shape), str(shape)
        raise WhisperoptError(because("self-test.shape", name, given=given, wanted=wanted))


def _need_close(
    name: str, error: float, precisions: Collection[Precision], agreed: str = ""
) -> None:
    tolerance = max(_TOLERANCE[precision] for precision in precisions)
    if not error <= tolerance:
        off = f"{error:.2g}"  # it may be infinite, which JSON is not
        raise WhisperoptError(
            because("self-test.off", name, error=off, allowed=tolerance, agreed=agreed)
        )


def _error(found: npt.ArrayLike, expected: npt.ArrayLike, order: float | None = None) -> float:
    """Return ||found - expected|| / ||expected|| in the norm of `order`, by default the 2-norm.

    What is no number is infinitely off, and so is everything where nothing is expected.
    """
    a, b = (np.ravel(values).astype(np.float64) for values in (found, expected))
    if not (np.isfinite(a).all() and b.any()):
        return float("inf")
    return float(np.linalg.norm(a - b, order) / np.linalg.norm(b, order))


def _short(values: npt.NDArray[np.float64]) -> Any:
    largest = np.abs(values).max(initial=0)
    places = _DIGITS - 1 - math.floor(math.log10(largest)) if 0 < largest < math.inf else 0
    return (np.round(values, places) + 0.0).tolist()  # no zero is negative


def _means(hidden: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """[L, D] -> [quarters, kept channels]."""
    chosen = hidden[:, :: _between(hidden.shape[1])].astype(np.float64)
    return np.stack([part.mean(axis=0) for part in np.array_split(chosen, _QUARTERS)])


def _between(width: int) -> int:
    """How far apart the kept channels are."""
    return max(1, width // _KEPT)


def read(artifact: Artifact) -> SelfTest | None:
    """Read the expected values that travel with `artifact`."""
    path = artifact.path / FILE
    if not path.is_file():
        return None
    try:
        expected = documents.read(path, SelfTest, documents.SELF_TEST)
        if problem := expected.problem(artifact.manifest.dims):
            raise documents.UnfitError(because("document.odd", why=problem))  # noqa: TRY301
        return expected  # noqa: TRY300
    except documents.UnfitError as error:
        raise WhisperoptError(because("self-test.garbled", path, why=str(error))) from None


def write(path: Path, expected: SelfTest) -> None:
    """Write the expected values to `path`."""
    path.write_bytes(msgspec.json.encode(expected) + b"\n")


def sound(dims: Dimensions) -> Floats:
    """Make features [1, mels, frames] of `tone`."""
    return mel.log_mel(tone(), dims.mels, dims.frames)[None]


def tone() -> Floats:
    """Make two seconds of a rising, pulsing tone."""
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    rising = np.sin(2 * np.pi * (200 + 300 * time) * time)
    pulsing = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * time)
    return (0.3 * rising * pulsing).astype(np.float32)
