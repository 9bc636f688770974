"""What the Hugging Face reader takes and what it refuses."""

import contextlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tests.makers import SMALL, huggingface_config, write_huggingface
from whisperopt.checkpoint import safetensors
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.errors import BadInputError, WhisperoptError

TINY = msgspec.structs.replace(
    SMALL, width=16, encoder_heads=2, decoder_heads=2, decoder_kv_heads=2
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_huggingface(tmp_path, TINY)
    return tmp_path


def edit(path: Path, **changes: object) -> None:
    """Change keys of a JSON file; those that become None are removed."""
    content: dict[str, Any] = json.loads(path.read_text("utf-8")) | changes
    content = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "wav2vec2"}, "'wav2vec2', not whisper"),
        ({"model_type": None}, "not whisper"),
        ({"d_model": None}, "d_model"),
        ({"d_model": 64}, r"conv1\.weight of shape \[16, 8, 3\] where \[64, 8, 3\]"),
        ({"d_model": 0}, r"d_model"),
        ({"vocab_size": 321}, r"vocabulary of 321 .* shape \[320, 16\]"),
        ({"encoder_layers": 3}, r"has no tensor encoder\.layers\.2\.self_attn\.q_proj\.weight"),
        ({"encoder_layers": 10**15}, r"encoder_layers is not between 1 and"),
        ({"decoder_layers": 1}, r"tensor decoder\.layers\.1\..* that no such Whisper model"),
        ({"decoder_attention_heads": 3}, "not a multiple of the number of heads"),
        ({"activation_function": "relu"}, "'relu', not gelu"),
        ({"tie_word_embeddings": False}, r"no tensor proj_out\.weight"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    edit(folder / "config.json", **changes)
    with pytest.raises(BadInputError, match=message) as caught:
        open_checkpoint(folder)
    assert caught.value.remedy


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(sorted(huggingface_config(TINY))), value=JSON)
def test_any_value_in_the_configuration_never_crashes(
    folder: Path, key: str, value: object
) -> None:
    content = huggingface_config(TINY) | {key: value}
    (folder / "config.json").write_text(json.dumps(content), "utf-8")
    with suppress(WhisperoptError):
        open_checkpoint(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1, exclude_max=True))
def test_truncated_weights_are_refused(folder: Path, cut: float) -> None:
    raw = (folder / "model.safetensors").read_bytes()
    short = folder / "short.safetensors"
    short.write_bytes(raw[: int(cut * len(raw))])
    with pytest.raises(BadInputError):
        safetensors.read_file(short)


@given(raw=st.binary(max_size=200), framed=st.booleans())
def test_arbitrary_bytes_are_refused(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, *, framed: bool
) -> None:
    path = tmp_path_factory.mktemp("raw") / "w"
    path.write_bytes((len(raw).to_bytes(8, "little") if framed else b"") + raw)
    with contextlib.suppress(BadInputError):
        assert safetensors.read_file(path) == {}


@given(header=st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), JSON, min_size=1))
def test_arbitrary_headers_never_crash(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, object]
) -> None:
    raw = json.dumps(header).encode()
    path = tmp_path_factory.mktemp("raw") / "w"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)
    with suppress(WhisperoptError):
        assert safetensors.read_file(path) == {}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "wrong number of bytes"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}, "header promises"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "no safetensors header"),
        ({"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}, "F8_E4M3.*not supported"),
    ],
)
def test_odd_tensors_are_refused(tmp_path: Path, entry: dict[str, object], message: str) -> None:
    raw = json.dumps({"x": entry}).encode()
    (tmp_path / "w").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(8))
    with pytest.raises(BadInputError, match=message):
        safetensors.read_file(tmp_path / "w")


def test_a_header_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    with pytest.raises(BadInputError, match="header of 1099511627776 bytes"):
        safetensors.read_file(tmp_path / "w")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_huggingface(tmp_path, TINY, shards=2)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BadInputError, match=r"model-00002-of-00002\.safetensors are missing"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("shard", ["../model.safetensors", "", "..", "a/b", "a\\b"])
def test_shards_lie_beside_their_index(tmp_path: Path, shard: str) -> None:
    write_huggingface(tmp_path, TINY, shards=2)
    index = {"weight_map": {"model.encoder.conv1.weight": shard}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    with pytest.raises(BadInputError):
        open_checkpoint(tmp_path)


def test_a_tensor_that_its_shard_lacks_is_named(tmp_path: Path) -> None:
    write_huggingface(tmp_path, TINY, shards=2)
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text("utf-8"))
    index["weight_map"]["model.more"] = "model-00001-of-00002.safetensors"
    path.write_text(json.dumps(index), "utf-8")
    with pytest.raises(BadInputError, match=r"promises model\.more"):
        open_checkpoint(tmp_path)


def test_pickled_weights_are_refused_with_the_way_out(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInputError, match=r"has no model\.safetensors"):
        open_checkpoint(folder)
    (folder / "pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(BadInputError, match=r"pickle.*save_pretrained"):
        open_checkpoint(folder)


@pytest.mark.parametrize("kept", ["model.decoder.embed_tokens.weight", "proj_out.weight"])
def test_tied_embeddings_may_be_stored_under_either_name(folder: Path, kept: str) -> None:
    expected = open_checkpoint(folder).tensor("decoder.embed_tokens.weight").copy()
    stored = load_file(folder / "model.safetensors")
    stored[kept] = stored.pop("model.decoder.embed_tokens.weight")
    save_file(stored, folder / "model.safetensors")
    checkpoint = open_checkpoint(folder)
    assert "proj_out.weight" not in checkpoint.names()
    np.testing.assert_array_equal(checkpoint.tensor("decoder.embed_tokens.weight"), expected)


def test_names_may_lack_their_prefix(folder: Path) -> None:
    names = set(open_checkpoint(folder).names())
    stored = load_file(folder / "model.safetensors")
    bare = {name.removeprefix("model."): array for name, array in stored.items()}
    save_file(bare, folder / "model.safetensors")
    assert set(open_checkpoint(folder).names()) == names


def test_lists_fall_back_to_the_older_place(folder: Path) -> None:
    edit(folder / "config.json", suppress_tokens=[5], begin_suppress_tokens=[6])
    generation = folder / "generation_config.json"
    generation.write_text('{"begin_suppress_tokens": null}', "utf-8")
    decoding = open_checkpoint(folder).decoding
    assert (decoding.suppress, decoding.suppress_first) == ([5], [])
    generation.unlink()
    decoding = open_checkpoint(folder).decoding
    assert (decoding.suppress, decoding.suppress_first) == ([5], [6])


def test_generation_settings_win_over_the_tokenizer(folder: Path) -> None:
    path = folder / "generation_config.json"
    edit(path, lang_to_id={"<|xx|>": 300}, task_to_id={"transcribe": 301})
    edit(path, no_timestamps_token_id=302)
    assert open_checkpoint(folder).decoding.prompt("xx") == [257, 300, 301, 302]
    edit(path, is_multilingual=False)
    assert open_checkpoint(folder).decoding.prompt(None) == [257, 302]
    edit(path, no_timestamps_token_id=320)
    with pytest.raises(BadInputError, match="ids up to 320, but the embedding has 320 rows"):
        open_checkpoint(folder)


def test_ids_and_heads_of_other_models_are_dropped(folder: Path) -> None:
    path = folder / "generation_config.json"
    edit(path, suppress_tokens=[-1, 7, 50000], alignment_heads=[[30, 1], [1, 0]])
    decoding = open_checkpoint(folder).decoding
    assert (decoding.suppress, decoding.alignment_heads) == ([7], [(1, 0)])
    edit(path, alignment_heads=[[30, 1]])
    assert open_checkpoint(folder).decoding.alignment_heads == [(1, 0), (1, 1)]


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BadInputError, match=r"neither tokenizer\.json nor vocab\.json"):
        open_checkpoint(folder)
