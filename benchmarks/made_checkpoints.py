"""Checkpoints of every published size with random weights, written tensor by tensor.

They cost a build what the real ones cost it, and nobody has to download them.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

import numpy as np

from whisperopt.checkpoint.safetensors import INDEX
from whisperopt.checkpoint.shapes import required
from whisperopt.testing.made import MadeCheckpoint
from whisperopt.whisper import Dimensions

_SHARD_BYTES = 1_000_000_000
_SPREAD = np.float16(0.02)
_BLOCK = 1 << 22


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
        _write_shard(folder / name, shapes, seed=number)
        places |= dict.fromkeys((f"model.{tensor}" for tensor in shapes), name)
    _write_json(folder / INDEX, {"metadata": {}, "weight_map": places})
    _write_json(folder / "config.json", _config(dims))
    (folder / "tokenizer.json").write_bytes(MadeCheckpoint().tokenizer_json())


def _shards(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[dict[str, tuple[int, ...]]]:
    shard: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        if shard and 2 * sum(map(prod, (*shard.values(), shape))) > _SHARD_BYTES:
            yield shard
            shard = {}
        shard[name] = shape
    yield shard


def _write_shard(path: Path, shapes: Mapping[str, tuple[int, ...]], *, seed: int) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * prod(shape)
        header[f"model.{name}"] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    random = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in shapes.values():
            for start in range(0, prod(shape), _BLOCK):
                count = min(_BLOCK, prod(shape) - start)
                numbers = random.standard_normal(count, np.float32).astype(np.float16)
                file.write((numbers * _SPREAD).tobytes())


def _config(dims: Dimensions) -> dict[str, object]:
    return {
        "model_type": "whisper",
        "d_model": dims.width,
        "vocab_size": dims.vocabulary,
        "num_mel_bins": dims.mels,
        "max_source_positions": dims.audio_context,
        "max_target_positions": dims.text_context,
        "encoder_layers": dims.encoder_layers,
        "encoder_attention_heads": dims.encoder_heads,
        "encoder_ffn_dim": dims.encoder_ffn,
        "decoder_layers": dims.decoder_layers,
        "decoder_attention_heads": dims.decoder_heads,
        "decoder_ffn_dim": dims.decoder_ffn,
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), "utf-8")
