"""What a backend says: what to try, how far it is proven, and what it found on this host."""

import enum
from collections.abc import Mapping
from typing import Any, Literal, Self

import msgspec


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
