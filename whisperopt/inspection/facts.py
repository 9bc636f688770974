"""What an inspection finds, as values; and the sizes that follow from a model's dimensions."""

from collections import Counter
from math import prod
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from whisperopt.backend import Tier
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.shapes import required
from whisperopt.rehearsal import Rehearsed
from whisperopt.whisper import SAMPLE_RATE, Dimensions

AttentionKind = Literal["encoder", "self", "cross"]
Stored = Literal["fp32", "fp16", "bf16"]
"""What caches are kept in."""
_ITEM_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


class AttentionLayers(msgspec.Struct, frozen=True, kw_only=True):
    """One of a model's three attentions, the same in every layer."""

    attention: AttentionKind
    layers: int
    heads: int
    kv_heads: int
    head_size: int


class CacheBytes(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that the caches of one recording take, keys and values of all layers together."""

    precision: Stored
    self_per_token: int
    self_full: int
    """The buffer of all `text_context` tokens."""
    cross_per_second: int
    """Per second of audio."""
    cross_full: int
    """A whole window."""


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """Number of weights; an output projection tied to the embedding does not count again."""

    encoder: int
    decoder: int
    total: int


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One recipe of a target's ladder, its graphs held against the runtime's capability table."""

    recipe: str
    forms: dict[AttentionKind, str]
    """What the recipe makes of each attention: `gqa`, `mha` or `decomposed`."""
    taken: bool
    """Whether all three attentions of the target take this rung: a variant is one recipe."""
    accepted: bool
    waits: bool
    """Whether every node is executed, but only proof on a device makes it selectable."""
    reason: str
    conditions: tuple[str, ...]
    """What whoever runs the graphs must keep to."""


class AttentionChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What one attention becomes on a target."""

    attention: AttentionKind
    rung: str | None
    """None: no rung of the ladder can be taken."""
    form: str | None
    reason: str


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """What a target makes of a model by structure alone, before anything is run."""

    target: str
    backend: str
    runtime: str
    """The runtime and the version that the capability table describes."""
    attention: tuple[AttentionChoice, ...]
    rungs: tuple[Rung, ...]


class CheckpointFacts(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="checkpoint"
):
    """What a checkpoint holds, what its core model is made of, and what each target takes."""

    model: str
    source: str
    dims: Dimensions
    parameters: Parameters
    attention: tuple[AttentionLayers, ...]
    caches: tuple[CacheBytes, ...]
    operators: dict[str, dict[str, int]]
    """Number of nodes by operator, the most frequent first, for each core graph."""
    targets: tuple[Ladder, ...]


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """An input or output of a graph; a dimension is a number, a symbol, or unknown (None)."""

    name: str
    dtype: str | None
    shape: tuple[int | str | None, ...] | None


class AttentionNode(msgspec.Struct, frozen=True, kw_only=True):
    """One attention of a graph; spelled out in standard operators it goes by its Softmax."""

    node: str
    op: str
    heads: int | None
    kv_heads: int | None
    scale: float | None
    """None: the operator's default, or elsewhere in the graph."""


class GraphFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one ONNX graph is made of."""

    part: str
    """`decoder` for a graph that reads token ids, else `encoder`."""
    ir_version: int
    opsets: dict[str, int]
    """Version of each domain of operators; `ai.onnx` is ONNX's own."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: dict[str, int]
    """Number of nodes by operator, the most frequent first."""
    attention: tuple[AttentionNode, ...]
    parameters: int
    """Numbers in all initializers; packed ones count as they are stored."""


class BackendVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one backend's runtime executes a graph."""

    backend: str
    executed: bool | None
    """None: the capability tables say nothing of some of its operators, or of its opset."""
    reason: str
    conditions: tuple[str, ...] = ()


class OnnxFacts(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="onnx"):
    """What an ONNX file holds, and which runtimes execute it."""

    path: Path
    graph: GraphFacts
    backends: tuple[BackendVerdict, ...]


class ArtifactFacts(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="artifact"):
    """What one variant on disk holds."""

    path: Path
    model: str
    variant: str
    backend: str
    tier: Tier | None
    """None outside a release: only a catalog knows."""
    size: int
    """Bytes of all files."""
    attention: tuple[AttentionLayers, ...]
    caches: CacheBytes
    graphs: dict[str, GraphFacts]
    verdict: BackendVerdict
    """What the capability table of its own backend says of both graphs."""
    rehearsals: tuple[Rehearsed, ...] = ()
    """What the real runtime says without its device, if it was asked."""


class ReleaseFacts(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="release"):
    """What a release holds."""

    path: Path
    created: str
    variants: tuple[ArtifactFacts, ...]


Facts: TypeAlias = CheckpointFacts | ReleaseFacts | ArtifactFacts | OnnxFacts


def attention_layers(dims: Dimensions) -> tuple[AttentionLayers, ...]:
    """Return the three attentions of a model of these sizes."""
    heads, layers = dims.decoder_heads, dims.decoder_layers
    kinds: tuple[tuple[AttentionKind, int, int, int], ...] = (
        ("encoder", dims.encoder_layers, dims.encoder_heads, dims.encoder_heads),
        ("self", layers, heads, dims.decoder_kv_heads),
        ("cross", layers, heads, heads),
    )
    return tuple(
        AttentionLayers(attention=kind, layers=n, heads=h, kv_heads=kv, head_size=dims.width // h)
        for kind, n, h, kv in kinds
    )


def cache_bytes(dims: Dimensions, precision: Stored) -> CacheBytes:
    """Return how large the caches of one recording are."""
    vector = 2 * dims.decoder_layers * dims.head_size * _ITEM_BYTES[precision]
    self_per_token = vector * dims.decoder_kv_heads
    cross_full = vector * dims.decoder_heads * dims.audio_context
    return CacheBytes(
        precision=precision,
        self_per_token=self_per_token,
        self_full=self_per_token * dims.text_context,
        cross_per_second=cross_full * SAMPLE_RATE // dims.window,
        cross_full=cross_full,
    )


def parameters(checkpoint: Checkpoint) -> Parameters:
    """Count the weights of `checkpoint` without reading any."""
    dims = checkpoint.dims
    shapes = {**required(dims), "proj_out.weight": (dims.vocabulary, dims.width)}
    counts = Counter[str]()
    for name in checkpoint.names():
        # a key projection may have a bias, which is not required
        shape = shapes.get(name) or shapes[f"{name.removesuffix('.bias')}.weight"][:1]
        counts["encoder" if name.startswith("encoder.") else "decoder"] += prod(shape)
    return Parameters(encoder=counts["encoder"], decoder=counts["decoder"], total=counts.total())
