"""Writes a checkpoint as whisper.cpp's file: ggml's first format, matrices in 16 bits.

All numbers are little-endian, integers of 32 bits: magic, eleven sizes, mel filters, the bytes of
every ordinary token, then tensors until the end of the file (`whisper_model_load` in whisper.cpp).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.runtime import mel
from whisperopt.whisper import Dimensions

MAGIC = 0x67676D6C
F32, F16 = 0, 1

_OUTER = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "encoder.layer_norm": "encoder.ln_post",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens": "decoder.token_embedding",
    "decoder.layer_norm": "decoder.ln",
}
_INNER = {
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "final_layer_norm": "mlp_ln",
    "self_attn.": "attn.",
    "encoder_attn.": "cross_attn.",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "out_proj": "out",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    ".layers.": ".blocks.",
}
_PROJECTION = "proj_out.weight"


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write `checkpoint`, whose output projection is the embedding, tensor by tensor."""
    with path.open("wb") as file:
        _integers(file, MAGIC, *_sizes(checkpoint.dims))
        filters = mel.filters(checkpoint.dims.mels).astype("<f4")
        _integers(file, *filters.shape)
        file.write(filters.tobytes())
        words = list(tokens(checkpoint.tokenizer_json(), checkpoint.decoding.end_of_text))
        _integers(file, len(words))
        for word in words:
            _integers(file, len(word))
            file.write(word)
        for name in checkpoint.names():
            if name != _PROJECTION:
                _tensor(file, renamed(name), checkpoint.tensor(name))


def renamed(name: str) -> str:
    """Return OpenAI's name for Hugging Face's `name` of a tensor."""
    parts = _INNER if ".layers." in name else _OUTER
    for theirs, ours in parts.items():
        name = name.replace(theirs, ours)
    return name


def tokens(tokenizer: bytes, end_of_text: int) -> Iterator[bytes]:
    """Yield the bytes of the tokens below `end_of_text`; whisper.cpp names the marks itself."""
    vocabulary: dict[str, int] = msgspec.json.decode(tokenizer)["model"]["vocab"]
    letters = _letters()
    for text in sorted(vocabulary, key=vocabulary.__getitem__):
        if vocabulary[text] < end_of_text:
            yield bytes(letters[letter] for letter in text)


def _sizes(dims: Dimensions) -> tuple[int, ...]:
    encoder = (dims.audio_context, dims.width, dims.encoder_heads, dims.encoder_layers)
    decoder = (dims.text_context, dims.width, dims.decoder_heads, dims.decoder_layers)
    return (dims.vocabulary, *encoder, *decoder, dims.mels, F16)


def _tensor(file: BinaryIO, name: str, numbers: npt.NDArray[np.float32]) -> None:
    """Write one tensor; vectors, positions and the convolutions' biases stay in 32 bits."""
    exact = numbers.ndim < 2 or "positional" in name
    if name.endswith(("conv1.bias", "conv2.bias")):
        numbers = numbers[:, None]  # added to [width, frames]
    encoded = name.encode()
    _integers(file, numbers.ndim, len(encoded), F32 if exact else F16, *numbers.shape[::-1])
    file.write(encoded)
    kind: npt.DTypeLike = "<f4" if exact else "<f2"
    file.write(np.ascontiguousarray(numbers, kind).data)


def _integers(file: BinaryIO, *numbers: Any) -> None:
    file.write(struct.pack(f"<{len(numbers)}i", *numbers))


def _letters() -> dict[str, int]:
    """Return which byte each letter of a byte-level vocabulary stands for.

    Printable Latin-1 stands for itself; the others follow each other from U+0100 on (GPT-2).
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in plain]
    known = {chr(byte): byte for byte in plain}
    return known | {chr(0x100 + place): byte for place, byte in enumerate(others)}
