"""What `ci/record_references.py` writes down about a reference, and how it is compared."""

from pathlib import Path

import msgspec
import numpy as np

from whisperopt.runtime.arrays import Floats

FOLDER = Path(__file__).parent / "recorded"
MEL_FRAMES, MEL_CHANNELS = 37, 5
HIDDEN_ROWS, HIDDEN_COLUMNS = 60, 12
_LIKELIEST, _EVERY = 12, 4001


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The logits of one position: the likeliest ones, and a few of all others."""

    largest: float
    ids: list[int]
    values: list[float]

    @classmethod
    def of(cls, logits: Floats) -> "Step":
        """Write down the most telling of `logits` float32 [V]."""
        likeliest = np.argsort(-logits, kind="stable")[:_LIKELIEST].tolist()
        ids = sorted({*likeliest, *range(0, logits.size, _EVERY)})
        return cls(largest=_short(np.abs(logits).max()), ids=ids, values=shortened(logits[ids]))

    def error(self, logits: Floats) -> float:
        """Return the relative error of `logits` [V] where something is written down."""
        return float(np.abs(logits[self.ids] - np.array(self.values)).max() / self.largest)


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """One clip: its greedy tokens, a part of its encoder output, its last logits of each step."""

    file: str
    tokens: list[int]
    hidden_largest: float
    hidden: list[list[float]]
    steps: list[Step]

    def hidden_error(self, hidden: Floats) -> float:
        """Return the relative error of encoder output [frames / 2, D] where it is written down."""
        found = hidden[::HIDDEN_ROWS, ::HIDDEN_COLUMNS]
        return float(np.abs(found - np.array(self.hidden)).max() / self.hidden_largest)


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What one model computes in Hugging Face's transformers, fp32."""

    model: str
    checkpoint: str
    transformers: str
    prompt: list[int]
    clips: list[Clip]


class Mel(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the features of one clip by number of mels."""

    file: str
    transformers: str
    features: dict[int, list[list[float]]]


def clip_of(file: str, hidden: Floats, logits: list[Floats], tokens: list[int]) -> Clip:
    """Write down hidden [frames / 2, D], the logits [S, V] of all steps, and the tokens."""
    part = hidden[::HIDDEN_ROWS, ::HIDDEN_COLUMNS]
    return Clip(
        file=file,
        tokens=tokens,
        hidden_largest=_short(np.abs(hidden).max()),
        hidden=[shortened(row) for row in part],
        steps=[Step.of(step[-1]) for step in logits],
    )


def read(model: str) -> Reference:
    """Read what is recorded of a model."""
    return msgspec.json.decode((FOLDER / f"{model}.json").read_bytes(), type=Reference)


def read_mel() -> Mel:
    """Read the recorded features."""
    return msgspec.json.decode((FOLDER / "mel.json").read_bytes(), type=Mel)


def shortened(values: Floats) -> list[float]:
    """Return `values` with the seven digits that float32 holds."""
    return [_short(value) for value in values]


def _short(value: float) -> float:
    return float(f"{value:.7g}")
