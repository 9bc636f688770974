"""A made-up checkpoint that lives in memory: tiny, and the same wherever it is made."""

import hashlib
import zlib
from collections.abc import Collection
from pathlib import Path

import msgspec
import numpy as np

from whisperopt import artifact as artifacts
from whisperopt.artifact import TOKENIZER, Artifact, Manifest
from whisperopt.backend import Recipe
from whisperopt.checkpoint.shapes import required
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import Decoding, Dimensions

LANGUAGES = ("en", "de", "fr")
_TASKS = ("translate", "transcribe", "startoflm", "startofprev", "nocaptions", "notimestamps")
_LETTERS = 256

TINY = Dimensions(
    mels=16,
    width=64,
    vocabulary=320,
    audio_context=24,
    text_context=32,
    encoder_layers=2,
    encoder_heads=4,
    encoder_ffn=128,
    decoder_layers=2,
    decoder_heads=4,
    decoder_kv_heads=4,
    decoder_ffn=128,
)
"""A model of some 250 000 parameters, with head size 16; it hears windows of half a second."""


class MadeCheckpoint:
    """A Whisper checkpoint with random weights, its tokenizer being bytes; it knows no words."""

    name = "made-up"
    source = "made-up"

    def __init__(self, dims: Dimensions = TINY, *, seed: int = 0) -> None:
        """Make a model of size `dims`, another one for every `seed`."""
        self.dims, self._seed = dims, seed
        self._shapes = required(dims)
        ids = {name: _LETTERS + place for place, name in enumerate(_marks(LANGUAGES))}
        self.decoding = Decoding(
            start_of_transcript=ids["startoftranscript"],
            end_of_text=ids["endoftext"],
            no_timestamps=ids["notimestamps"],
            transcribe=ids["transcribe"],
            languages={code: ids[code] for code in LANGUAGES},
            suppress=[],
            suppress_first=[ids["endoftext"]],
            alignment_heads=[],
        )

    def names(self) -> Collection[str]:
        """Return the names of all tensors."""
        return self._shapes

    def tensor(self, name: str) -> Floats:
        """Return one tensor, float32; its numbers depend on its name and the seed only."""
        shape = self._shapes[name]
        random = np.random.default_rng([self._seed, zlib.crc32(name.encode())])
        if name.endswith("norm.weight"):
            return random.uniform(0.8, 1.2, shape).astype(np.float32)
        spread = 1.0 if "embed" in name else 1.5 / np.sqrt(shape[-1])
        return (spread * random.standard_normal(shape)).astype(np.float32)

    def tokenizer_json(self) -> bytes:
        """Return a tokenizer of single bytes with Whisper's marks."""
        return tokenizer_json()

    def digest(self) -> str:
        """Return `sha256:<hex>` over what the weights follow from."""
        key = msgspec.json.encode([self.dims, self._seed])
        return "sha256:" + hashlib.sha256(key).hexdigest()


def tokenizer_json(languages: tuple[str, ...] = LANGUAGES) -> bytes:
    """Return a tokenizer of single bytes with Whisper's marks; without languages it is English's."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = [AddedToken(f"<|{name}|>", normalized=False) for name in _marks(languages)]
    tokenizer.add_special_tokens(marks)
    return str(tokenizer.to_str()).encode()


def _marks(languages: tuple[str, ...]) -> tuple[str, ...]:
    return ("endoftext", "startoftranscript", *languages, *_TASKS)


def describe(folder: Path, checkpoint: MadeCheckpoint, recipe: Recipe, backend: str) -> Artifact:
    """Write tokenizer and manifest of a variant into `folder`, beside the graphs in it."""
    kv_heads = recipe.kv_heads or checkpoint.dims.decoder_kv_heads
    manifest = Manifest(
        model=checkpoint.name,
        target=backend,
        backend=backend,
        recipe=recipe,
        dims=msgspec.structs.replace(checkpoint.dims, decoder_kv_heads=kv_heads),
        decoding=checkpoint.decoding,
        checkpoint=checkpoint.digest(),
    )
    (folder / TOKENIZER).write_bytes(checkpoint.tokenizer_json())
    artifacts.write_manifest(folder, manifest)
    return Artifact(folder, manifest)
