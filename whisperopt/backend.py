"""The contract between whisperopt and a runtime: what a backend is; its values are in `recipe.py`.

A backend is one folder (or one third-party package) that answers four questions about one runtime:
can it run here (`probe`), what to try (`recipes`), how to make it (`build`), how to run it (`open`).
It is found through the entry-point group `whisperopt.backends` and imports no runtime until `open`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from whisperopt.recipe import Attention, Precision, Probe, Recipe, Tier

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact
    from whisperopt.graph.core import CoreModel
    from whisperopt.rehearsal import Rehearsal
    from whisperopt.runtime.arrays import Floats, Spans, Tokens
    from whisperopt.static_checks.capability import CapabilityTable

__all__ = [
    "API",
    "Attention",
    "Backend",
    "Decoder",
    "LastLogits",
    "Precision",
    "Probe",
    "Recipe",
    "Session",
    "Tier",
]

API = 1
"""Version of this contract; a backend written for another one is refused."""


class Decoder(Protocol):
    """One encoded batch and its caches; every `step` moves it on."""

    past: int
    """Number of tokens that every row of the batch has already seen."""

    def reset(self) -> None:
        """Forget all tokens; the encoded audio stays."""

    def hidden_states(self) -> "Floats":
        """Return the encoder output float32 [B, frames / 2, D]."""

    def step(self, ids: "Tokens") -> "Floats":
        """Append `ids` int32 [B, S]; return logits float32 [B, S, V], or raise what is not right."""

    def reorder(self, rows: "Tokens") -> None:
        """Let row i of the batch go on from what row `rows[i]`, int32 [B], has seen and heard."""


@runtime_checkable
class LastLogits(Protocol):
    """What a decoder may have beside: a step for those who only want to know what comes next.

    Greedy decoding uses it where it is there, and `step` where it is not.
    """

    def step_last(self, ids: "Tokens") -> "Floats":
        """Append `ids` int32 [B, S]; return the last logits float32 [B, V], as `step` would."""


class Session(Protocol):
    """An opened artifact."""

    max_batch: int | None
    """The largest batch that the runtime computes correctly; None means any."""

    @property
    def placement(self) -> dict[str, int]:
        """Number of nodes by where they run, as the runtime itself reports; empty if it does not."""

    def encode(self, features: "Floats", spans: "Spans | None" = None) -> Decoder:
        """Encode log-mel `features` float32 [B, mels, 2 L]; refuse more than `max_batch` of them.

        `spans` int32 [L] tell how many of the window's positions each stands for; they are given
        only where the recipe has an `audio_tail`.
        """


class Backend(Protocol):
    """The adapter to one runtime."""

    @property
    def api(self) -> int:
        """The version of this contract that the backend was written for."""

    @property
    def name(self) -> str:
        """Its name, the same as its entry point's."""

    @property
    def runtime(self) -> str:
        """The distribution that users install, e.g. `onnxruntime`."""

    @property
    def extra(self) -> str:
        """The extra of whisperopt that installs the runtime."""

    def probe(self) -> Probe:
        """Say whether the runtime can run here; never raises."""

    def recipes(self) -> tuple[Recipe, ...]:
        """Return the ladder, in the order in which unmeasured variants are preferred."""

    def capabilities(self) -> "CapabilityTable":
        """Return what the runtime executes: the table behind the structural proof."""

    def rehearsals(self) -> "tuple[Rehearsal, ...]":
        """Return the ways to prove a variant by the real runtime without its device."""

    def build(self, recipe: Recipe, core: "CoreModel", out: Path) -> None:
        """Write the graphs of one variant into the existing, empty folder `out`."""

    def open(self, artifact: "Artifact", *, threads: int | None = None) -> Session:
        """Open `artifact` on its adapter, or this host's device, or raise `WhisperoptError`."""
