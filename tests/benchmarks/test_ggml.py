import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from benchmarks.peers.models import ggml
from whisperopt.checkpoint.resolve import resolve
from whisperopt.runtime import mel
from whisperopt.testing.made import TINY, MadeCheckpoint


class Read(NamedTuple):
    sizes: tuple[int, ...]
    filters: np.ndarray
    words: list[bytes]
    tensors: dict[str, np.ndarray]


def read(path: Path) -> Read:
    """Read such a file as whisper.cpp's loader does, from the format's description."""
    data, place = path.read_bytes(), 0

    def integers(count: int) -> tuple[int, ...]:
        nonlocal place
        found = struct.unpack_from(f"<{count}i", data, place)
        place += 4 * count
        return found

    def raw(size: int) -> bytes:
        nonlocal place
        place += size
        return data[place - size : place]

    assert integers(1) == (0x67676D6C,)
    sizes, (mels, bins) = integers(11), integers(2)
    filters = np.frombuffer(raw(4 * mels * bins), "<f4").reshape(mels, bins)
    words = [raw(*integers(1)) for _ in range(*integers(1))]
    tensors = {}
    while place < len(data):
        dims, length, kind = integers(3)
        shape = integers(dims)[::-1]
        name = raw(length).decode()
        dtype = np.dtype({0: "<f4", 1: "<f2"}[kind])
        numbers = np.frombuffer(raw(int(np.prod(shape)) * dtype.itemsize), dtype)
        tensors[name] = numbers.reshape(shape)
    return Read(sizes, filters, words, tensors)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Read:
    path = tmp_path_factory.mktemp("ggml") / "ggml-model.bin"
    ggml.write(MadeCheckpoint(), path)
    return read(path)


def test_the_sizes_come_in_their_order(found: Read) -> None:
    d = TINY
    encoder = (d.audio_context, d.width, d.encoder_heads, d.encoder_layers)
    decoder = (d.text_context, d.width, d.decoder_heads, d.decoder_layers)
    assert found.sizes == (d.vocabulary, *encoder, *decoder, d.mels, 1)
    assert np.array_equal(found.filters, mel.filters(d.mels))


def test_every_byte_is_a_token_of_its_own(found: Read) -> None:
    assert sorted(found.words) == [bytes([byte]) for byte in range(256)]


def test_every_tensor_is_there_under_openai_s_name(found: Read) -> None:
    checkpoint = MadeCheckpoint()
    assert len(found.tensors) == len(checkpoint.names())
    pairs = {
        "encoder.positional_embedding": "encoder.embed_positions.weight",
        "encoder.blocks.1.attn.key.weight": "encoder.layers.1.self_attn.k_proj.weight",
        "encoder.blocks.0.attn_ln.bias": "encoder.layers.0.self_attn_layer_norm.bias",
        "encoder.ln_post.weight": "encoder.layer_norm.weight",
        "decoder.token_embedding.weight": "decoder.embed_tokens.weight",
        "decoder.blocks.0.cross_attn.out.bias": "decoder.layers.0.encoder_attn.out_proj.bias",
        "decoder.blocks.1.cross_attn_ln.weight": "decoder.layers.1.encoder_attn_layer_norm.weight",
        "decoder.blocks.1.mlp.2.weight": "decoder.layers.1.fc2.weight",
        "decoder.blocks.1.mlp_ln.bias": "decoder.layers.1.final_layer_norm.bias",
        "decoder.ln.bias": "decoder.layer_norm.bias",
    }
    for theirs, name in pairs.items():
        assert found.tensors[theirs] == pytest.approx(checkpoint.tensor(name), rel=1e-3, abs=1e-4)


def test_matrices_are_halved_and_the_rest_is_exact(found: Read) -> None:
    exact = {name for name, numbers in found.tensors.items() if numbers.dtype == np.float32}
    assert all(
        (numbers.ndim == 1 or name.endswith((".positional_embedding", "conv1.bias", "conv2.bias")))
        == (name in exact)
        for name, numbers in found.tensors.items()
    )
    assert found.tensors["encoder.conv1.bias"].shape == (TINY.width, 1)


@pytest.mark.sample
@pytest.mark.parametrize(("model", "count"), [("tiny.en", 50256), ("base", 50257)])
def test_the_ordinary_tokens_of_openai_s_vocabularies(model: str, count: int) -> None:
    checkpoint = resolve(model, offline=True)
    words = list(ggml.tokens(checkpoint.tokenizer_json(), checkpoint.decoding.end_of_text))
    assert len(words) == count
    assert b" the" in words
