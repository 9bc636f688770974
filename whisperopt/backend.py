"""The contract between whisperopt and a runtime: what a backend is, and the values it deals in.

A backend is one folder (or one third-party package) that answers four questions about one runtime:
can it run here (`probe`), what to try (`recipes`), how to make it (`build`), how to run it (`open`).
It is found through the entry-point group `whisperopt.backends` and imports no runtime until `open`.
"""

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact
    from whisperopt.graph.core import CoreModel
    from whisperopt.rehearsal import Rehearsal
    from whisperopt.runtime.arrays import Floats, Spans, Tokens
    from whisperopt.static_checks.capability import CapabilityTable

API = 1
"""Version of this contract; a backend written for another one is refused."""


class Tier(enum.StrEnum):
    """How far a variant is proven on one host class, weakest first."""

    STRUCTURAL = "structural"
    EMULATED = "emulated"
    MEASURED = "measured"

    @property
    def rank(self) -> int:
        """Position on the ladder of trust: 0 is the weakest."""
        return list(Tier).index(self)


Precision = Literal["fp32", "fp16", "bf16", "int8"]
Attention = Literal["gqa", "mha", "attention", "decomposed"]
"""GroupQueryAttention, MultiHeadAttention, ai.onnx Attention-23, or standard operators."""
Trait = Literal[
    "explicit-mask", "contributed-gelu", "optional-spans", "last-logits", "dynamic-decoder"
]
"""A causal mask as full attention bias of MultiHeadAttention; com.microsoft's Gelu; inputs that need
not be given, since GenAI does not know of them: for an audio tail, and for the position from which on
logits are wanted; with `int8` dynamic, the decoder's activations rounded too, where they bear it."""
Cache = Literal["shared", "static", "concat"]


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do to a core model for one variant; a ladder is a tuple of these, best first.

    Each attention has a form of its own. `cache` is the form of the self-attention cache: `shared`
    is one buffer that is both past and present, `static` has the same fixed length but separate
    buffers, `concat` grows by each step.
    """

    name: str
    summary: str
    self_attention: Attention
    cross_attention: Literal["mha", "attention", "decomposed"]
    encoder_attention: Literal["mha", "attention", "decomposed"]
    cache: Cache
    encoder_precision: Precision
    decoder_precision: Precision
    computes: Precision | None = None
    """The precision of the arithmetic where the runtime is told another than the graphs hold."""
    int8: Literal["block", "group", "dynamic"] = "block"
    """How 8-bit weights are scaled; `dynamic` also rounds the encoder's activations."""
    kv_heads: int | None = None
    """Mean-pool the decoder's own key/value heads into so many; None keeps the checkpoint's."""
    audio_tail: float | None = None
    """Seconds behind a clip that the encoder hears whole, the silence after them in few spans;
    None: all of the window is heard whole, as in training."""
    traits: tuple[Trait, ...] = ()
    """What else the runtime wants of the graphs."""
    options: Mapping[str, str] = {}
    """What the backend's own adapter reads; nothing of it changes the graphs."""
    stands_in_for: tuple[str, ...] = ()
    """Recipes above that make this one unnecessary: it is tried only while none is accepted."""
    selectable_from: Tier = Tier.EMULATED
    """The least proof that makes the variant selectable."""
    caution: str = ""
    """Why `selectable_from` asks for more than usual."""

    @property
    def form(self) -> tuple[str, ...]:
        """What decides the operators of both graphs, whatever their precision."""
        attention = (self.self_attention, self.cross_attention, self.encoder_attention)
        heads = () if self.kv_heads is None else (f"kv{self.kv_heads}",)
        spans = () if self.audio_tail is None else ("spans",)
        return (*attention, self.cache, *heads, *spans, *self.traits)

    @property
    def precisions(self) -> frozenset[Precision]:
        """What both parts are stored and computed in."""
        stored = {self.encoder_precision, self.decoder_precision}
        return frozenset(stored | ({self.computes} if self.computes else set()))

    @property
    def half(self) -> bool:
        """Whether any part computes in fp16, whose range is small."""
        return "fp16" in self.precisions

    def but(self, *, precision: Precision | None = None, **changes: Any) -> Self:
        """Return this recipe with other values in some fields; `precision` is that of both parts."""
        if precision:
            changes |= {"encoder_precision": precision, "decoder_precision": precision}
        return msgspec.structs.replace(self, **changes)

    def pooled(self, kv_heads: int) -> Self:
        """Return this recipe with the decoder's own key/value heads mean-pooled into `kv_heads`."""
        return self.but(
            name=f"{self.name}-kv{kv_heads}",
            summary=f"{self.summary}; key/value heads pooled into {kv_heads}",
            kv_heads=kv_heads,
            stands_in_for=(),
        )


class Probe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backend found on this host: facts, or the reason why it cannot run here."""

    runtime: str
    version: str | None = None
    reason: str | None = None
    remedy: str = ""
    facts: dict[str, str] = {}

    @property
    def ready(self) -> bool:
        """Whether the runtime can open a model on this host."""
        return self.reason is None


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
        """Open `artifact` on this host's device, or raise `WhisperoptError` with the reason."""
