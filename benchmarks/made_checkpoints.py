"""Checkpoints of every published size with random weights, written tensor by tensor.

They cost a build what the real ones cost it, and nobody has to download them.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from benchmarks.peers.models import safetensors
from whisperopt.checkpoint import huggingface
from whisperopt.checkpoint.safetensors import INDEX
from whisperopt.checkpoint.shapes import required
from whisperopt.runtime.arrays import Floats
from whisperopt.testing.made import tokenizer_json
from whisperopt.whisper import Dimensions

_SHARD_BYTES = 1_000_000_000
_SPREAD = np.float32(0.02)


def _sizes(width: int, layers: int, heads: int, **others: int) -> Dimensions:
    plain = {"mels": 80, "vocabulary": 51865, "decoder_layers": layers} | others
    return Dimensions(
        width=width,
        audio_context=1500,
        text_context=448,
        encoder_layers=layers,
        encoder_heads=heads,
        encoder_ffn=4 * width,
        decoder_heads=heads,
        decoder_kv_heads=heads,
        decoder_ffn=4 * width,
        **plain,
    )


SIZES = {
    "tiny": _sizes(384, 4, 6),
    "base": _sizes(512, 6, 8),
    "small": _sizes(768, 12, 12),
    "medium": _sizes(1024, 24, 16),
    "large-v3-turbo": _sizes(1280, 32, 20, mels=128, vocabulary=51866, decoder_layers=4),
    "large-v3": _sizes(1280, 32, 20, mels=128, vocabulary=51866),
}
"""The sizes of the models that OpenAI published."""


def parameters(dims: Dimensions) -> int:
    """Count the weights of a model."""
    return sum(prod(shape) for shape in required(dims).values())


def write(folder: Path, dims: Dimensions) -> None:
    """Write a Hugging Face folder with shards of half precision, at most 1 GB each."""
    folder.mkdir(parents=True)
    shards = list(_shards(required(dims)))
    places: dict[str, str] = {}
    for number, shapes in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        stored = {f"model.{tensor}": shape for tensor, shape in shapes.items()}
        safetensors.write(folder / name, stored, partial(_tensor, stored), "float16")
        places |= dict.fromkeys(stored, name)
    _write_json(folder / INDEX, {"metadata": {}, "weight_map": places})
    _write_json(folder / "config.json", huggingface.config(dims))
    (folder / "tokenizer.json").write_bytes(tokenizer_json())


def _shards(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[dict[str, tuple[int, ...]]]:
    shard: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        if shard and 2 * sum(map(prod, (*shard.values(), shape))) > _SHARD_BYTES:
            yield shard
            shard = {}
        shard[name] = shape
    yield shard


def _tensor(shapes: Mapping[str, tuple[int, ...]], name: str) -> Floats:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return random.standard_normal(shapes[name], np.float32) * _SPREAD


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), "utf-8")
