"""Checkpoints of any size with weights of chance: for speed only, they know no words."""

import json
import zlib
from collections.abc import Collection
from math import prod
from pathlib import Path

import numpy as np

from benchmarks import made_checkpoints
from benchmarks.peers.models import huggingface
from whisperopt.checkpoint.resolve import resolve
from whisperopt.checkpoint.shapes import required
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import Dimensions

SIZES = {"small": "small", "turbo": "large-v3-turbo"}
"""The published model whose sizes they have."""
TOKENS = 32
"""Words' worth of tokens that every text has: what 10 s of speech need."""
_PROMPT = 4
_LOUD = 60.0


def dimensions(name: str) -> Dimensions:
    """Return the sizes of OpenAI's `small` or `turbo` (large-v3-turbo)."""
    return made_checkpoints.SIZES[SIZES[name]]


class RandomTensors:
    """Draws tensors by name, the same ones each time.

    The text is the same `TOKENS` different tokens whatever is heard and whatever engine writes it:
    the embedding of each position drowns everything in the direction of the token that follows
    there, at last that of end-of-text.
    """

    def __init__(
        self, dims: Dimensions, end_of_text: int, suppressed: Collection[int] = ()
    ) -> None:
        """Draw for `dims`; `end_of_text` is the id that ends a text, `suppressed` are not said."""
        self.shapes = required(dims)
        ordinary = sorted(set(range(end_of_text)) - set(suppressed))
        stride = len(ordinary) // TOKENS
        self.text = [*ordinary[stride // 2 :: stride][:TOKENS]]
        """The tokens of every text."""
        self._end = end_of_text

    def tensor(self, name: str) -> Floats:
        """Return one tensor, float32."""
        if name == "decoder.embed_positions.weight":
            return self._positions(self.shapes[name])
        shape = self.shapes[name]
        random = np.random.default_rng(zlib.crc32(name.encode()))
        if name.endswith("norm.weight"):
            return random.uniform(0.8, 1.2, shape).astype(np.float32)
        small = "embed" in name or name.endswith(".bias")
        spread = 0.02 if small else 1 / np.sqrt(prod(shape[1:]))
        numbers = random.standard_normal(shape, np.float32)
        numbers *= np.float32(spread)
        return numbers

    def _positions(self, shape: tuple[int, ...]) -> Floats:
        directions = self.tensor("decoder.embed_tokens.weight")[[*self.text, self._end]]
        directions -= directions.mean(axis=1, keepdims=True)
        directions *= _LOUD / directions.std(axis=1, keepdims=True)
        numbers = np.zeros(shape, np.float32)
        numbers[_PROMPT - 1 : _PROMPT + TOKENS] = directions
        numbers[_PROMPT + TOKENS :] = directions[-1]
        return numbers


def write(name: str, out: Path) -> None:
    """Write a Hugging Face folder of the sizes `name`, float16, with the tokenizer of `base`."""
    base, dims = resolve("base"), dimensions(name)
    decoding = base.decoding
    silent = {*decoding.suppress, *decoding.suppress_first}
    drawn = RandomTensors(dims, decoding.end_of_text, silent)
    huggingface.write(
        out,
        dims,
        base.decoding,
        tokenizer=base.tokenizer_json(),
        shapes=drawn.shapes,
        tensor=drawn.tensor,
        kind="float16",
    )
    path = out / "generation_config.json"
    document = json.loads(path.read_bytes())
    document.pop("alignment_heads", None)  # they are base's
    path.write_text(json.dumps(document, indent=1), "utf-8")
