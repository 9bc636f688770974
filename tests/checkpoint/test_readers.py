"""Both readers see the same model in the same weights."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.makers import SMALL, Weights, write_ctranslate2, write_huggingface
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.checkpoint.shapes import required

FEWER_KEYS = msgspec.structs.replace(SMALL, decoder_kv_heads=2)


def assert_holds(checkpoint: Checkpoint, weights: Weights) -> None:
    """Assert that the checkpoint has exactly these tensors."""
    assert set(checkpoint.names()) == set(weights)
    for name, expected in weights.items():
        found = checkpoint.tensor(name)
        assert found.dtype == np.float32
        assert found.flags.aligned
        np.testing.assert_array_equal(found, expected, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("tied", [True, False])
def test_both_formats_give_the_same_tensors(tmp_path: Path, dtype: str, *, tied: bool) -> None:
    written = write_huggingface(tmp_path / "a", dtype=dtype, tied=tied)
    write_ctranslate2(tmp_path / "b", dtype=dtype, tied=tied)
    first, second = open_checkpoint(tmp_path / "a"), open_checkpoint(tmp_path / "b")
    assert_holds(first, written)
    assert_holds(second, written)
    assert first.dims == second.dims == SMALL
    assert first.decoding == second.decoding
    assert ("proj_out.weight" in first.names()) is not tied
    assert first.tokenizer_json() == second.tokenizer_json()


@pytest.mark.parametrize("write", [write_huggingface, write_ctranslate2])
def test_fewer_key_heads_are_seen_in_the_shapes(
    tmp_path: Path, write: Callable[..., Weights]
) -> None:
    written = write(tmp_path / "model", FEWER_KEYS)
    checkpoint = open_checkpoint(tmp_path / "model")
    assert checkpoint.dims == FEWER_KEYS
    assert_holds(checkpoint, written)


def test_shards_are_one_model(tmp_path: Path) -> None:
    written = write_huggingface(tmp_path / "whole")
    write_huggingface(tmp_path / "cut", shards=3)
    whole, cut = open_checkpoint(tmp_path / "whole"), open_checkpoint(tmp_path / "cut")
    assert_holds(cut, written)
    assert (cut.dims, cut.decoding) == (whole.dims, whole.decoding)
    assert cut.digest() != whole.digest()


def test_digest_depends_on_the_weights_alone(tmp_path: Path) -> None:
    write_huggingface(tmp_path / "one", seed=1)
    write_huggingface(tmp_path / "two", seed=2)
    write_huggingface(tmp_path / "again", seed=1)
    one, two, again = (open_checkpoint(tmp_path / name) for name in ("one", "two", "again"))
    assert one.digest() == again.digest() != two.digest()
    assert one.digest().startswith("sha256:")


def test_decoding_facts_are_read(tmp_path: Path) -> None:
    write_ctranslate2(tmp_path / "model")
    decoding = open_checkpoint(tmp_path / "model").decoding
    assert decoding.multilingual
    assert decoding.languages == {"en": 258, "de": 259, "fr": 260}
    assert decoding.prompt("de") == [257, 259, 262, 266]
    assert (decoding.end_of_text, decoding.suppress, decoding.suppress_first) == (
        256,
        [1, 2],
        [0, 256],
    )
    assert decoding.alignment_heads == [(1, 0), (1, 1)]


def test_english_only_prompt_names_no_language(tmp_path: Path) -> None:
    write_huggingface(tmp_path / "model", languages=())
    decoding = open_checkpoint(tmp_path / "model").decoding
    assert not decoding.multilingual
    assert decoding.transcribe is None
    assert decoding.prompt("en") == [257, 263]


def test_every_required_tensor_is_in_the_list() -> None:
    shapes = required(SMALL)
    assert shapes["decoder.layers.1.encoder_attn.k_proj.weight"] == (64, 64)
    assert "decoder.layers.1.encoder_attn.k_proj.bias" not in shapes
    assert len(shapes) == 5 + 2 + 2 + 2 + 2 * 15 + 2 * 24
