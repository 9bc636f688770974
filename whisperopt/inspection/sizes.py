"""Sizes that follow from a model's dimensions."""

from collections import Counter
from math import prod
from typing import Literal

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.shapes import required
from whisperopt.inspection.facts import AttentionKind, AttentionLayers, CacheBytes, Parameters
from whisperopt.whisper import SAMPLE_RATE, Dimensions

_ITEM_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


def attention_layers(dims: Dimensions) -> tuple[AttentionLayers, ...]:
    """Return the three attentions of a model of these sizes."""

    def of(kind: AttentionKind, layers: int, heads: int, kv_heads: int) -> AttentionLayers:
        return AttentionLayers(
            attention=kind,
            layers=layers,
            heads=heads,
            kv_heads=kv_heads,
            head_size=dims.width // heads,
        )

    heads, layers = dims.decoder_heads, dims.decoder_layers
    return (
        of("encoder", dims.encoder_layers, dims.encoder_heads, dims.encoder_heads),
        of("self", layers, heads, dims.decoder_kv_heads),
        of("cross", layers, heads, heads),
    )


def cache_bytes(dims: Dimensions, precision: Literal["fp32", "fp16", "bf16"]) -> CacheBytes:
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
