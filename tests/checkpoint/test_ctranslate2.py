"""What the CTranslate2 reader refuses."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.makers import SMALL, ctranslate2_bytes, write_ctranslate2
from whisperopt.checkpoint import ctranslate2
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.checkpoint.stored import WeightFile
from whisperopt.errors import BadInputError, WhisperoptError

TINY = msgspec.structs.replace(
    SMALL, width=16, encoder_heads=2, decoder_heads=2, decoder_kv_heads=2
)

Variables = dict[str, npt.NDArray[Any]]
Change = Callable[[Variables], object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    write_ctranslate2(path, TINY)
    return path


def variables(folder: Path) -> Variables:
    """Read all variables of a written folder, as a writer wants them."""
    index = ctranslate2.read_index(WeightFile(folder / "model.bin"))
    found: Variables = {name: t.read().astype(np.float16) for name, t in index.tensors.items()}
    return found | {name: np.array(value, np.int16) for name, value in index.settings.items()}


def opened(folder: Path, raw: bytes, at: Path) -> object:
    """Open `folder` with other weights."""
    at.write_bytes(raw)
    return ctranslate2.open_parts([at], folder, name="x", source="x")


@given(cut=st.floats(0, 1, exclude_max=True))
def test_truncated_weights_are_refused(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, cut: float
) -> None:
    raw = (folder / "model.bin").read_bytes()
    with pytest.raises(BadInputError):
        opened(folder, raw[: int(cut * len(raw))], tmp_path_factory.mktemp("cut") / "w")


def test_a_missing_last_byte_is_noticed(folder: Path, tmp_path: Path) -> None:
    raw = (folder / "model.bin").read_bytes()
    with pytest.raises(BadInputError, match="more must follow"):
        opened(folder, raw[:-1], tmp_path / "w")
    with pytest.raises(BadInputError, match="1 bytes after its end"):
        opened(folder, raw + b"\0", tmp_path / "w")


@given(raw=st.binary(max_size=200), after_header=st.booleans())
def test_arbitrary_bytes_are_refused(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, raw: bytes, *, after_header: bool
) -> None:
    head = ctranslate2_bytes({}, {})[:-8] if after_header else b""
    with pytest.raises(BadInputError):
        opened(folder, head + raw, tmp_path_factory.mktemp("raw") / "w")


@settings(max_examples=200)
@given(place=st.integers(0, 4000), value=st.integers(0, 255))
def test_a_changed_byte_never_crashes(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    raw = bytearray((folder / "model.bin").read_bytes())
    raw[place] = value
    with suppress(WhisperoptError):
        opened(folder, bytes(raw), tmp_path_factory.mktemp("changed") / "w")


def test_other_versions_and_specs_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"version 6, but 5.*ct2-transformers-converter"):
        opened(folder, ctranslate2_bytes({}, {}, version=5), tmp_path / "w")
    with pytest.raises(BadInputError, match="'TransformerSpec', not a WhisperSpec"):
        opened(folder, ctranslate2_bytes({}, {}, spec="TransformerSpec"), tmp_path / "w")


FC1 = "encoder/layer_1/ffn/linear_0/weight"
CASES: list[tuple[Change, str]] = [
    (lambda v: v.update({FC1: v[FC1].astype(np.int8)}), "is quantised: .*float16"),
    (lambda v: v.pop(FC1), r"has no tensor encoder\.layers\.1\.fc1\.weight"),
    (lambda v: v.update({FC1: v[FC1].T}), r"fc1\.weight of shape \[16, 96\] where \[96, 16\]"),
    (lambda v: v.pop("encoder/num_heads"), "no usable encoder/num_heads"),
    (lambda v: v.update({"decoder/num_heads": np.array(-2, np.int16)}), "decoder/num_heads"),
    (lambda v: v.update({"decoder/activation": np.array(0, np.int8)}), "activation than GELU"),
    (lambda v: v.update({"decoder/num_heads": np.array(3, np.int16)}), "not a multiple"),
    (lambda v: v.update({"decoder/extra": np.zeros(3, np.float16)}), "tensor decoder/extra"),
    (
        lambda v: v.update({"decoder/layer_0/self_attention/linear_0/bias": np.zeros(5, "f2")}),
        "which no qkv can fill",
    ),
]


@pytest.mark.parametrize(("change", "message"), CASES)
def test_weights_of_no_whisper_model_are_refused(
    folder: Path, tmp_path: Path, change: Change, message: str
) -> None:
    content = variables(folder)
    change(content)
    with pytest.raises(BadInputError, match=message):
        opened(folder, ctranslate2_bytes(content, {}), tmp_path / "w")


def test_key_biases_are_listed_only_where_they_are_not_zero(folder: Path, tmp_path: Path) -> None:
    content = variables(folder)
    bias = np.arange(48, dtype=np.float16)
    content["decoder/layer_1/self_attention/linear_0/bias"] = bias
    (tmp_path / "w").write_bytes(ctranslate2_bytes(content, {}))
    checkpoint = ctranslate2.open_parts([tmp_path / "w"], folder, name="x", source="x")
    keys = [name for name in checkpoint.names() if name.endswith("k_proj.bias")]
    assert keys == ["decoder.layers.1.self_attn.k_proj.bias"]
    assert checkpoint.tensor(keys[0]).tolist() == bias[16:32].tolist()


def test_weights_in_parts_are_one_model(folder: Path, tmp_path: Path) -> None:
    raw = (folder / "model.bin").read_bytes()
    parts = [tmp_path / "model.bin.part1", tmp_path / "model.bin.part2"]
    parts[0].write_bytes(raw[:10_001])
    parts[1].write_bytes(raw[10_001:])
    whole = open_checkpoint(folder)
    cut = ctranslate2.open_parts(parts, folder, name="x", source="x")
    assert cut.digest() == whole.digest()
    for name in whole.names():
        np.testing.assert_array_equal(cut.tensor(name), whole.tensor(name))
    with pytest.raises(BadInputError, match="more must follow"):
        ctranslate2.open_parts(parts[:1], folder, name="x", source="x")


@pytest.mark.parametrize("file", ["tokenizer.json", "config.json"])
def test_files_beside_the_weights_are_needed(tmp_path: Path, file: str) -> None:
    write_ctranslate2(tmp_path, TINY)
    (tmp_path / file).write_text("[1")
    with pytest.raises(BadInputError, match=file):
        open_checkpoint(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(BadInputError, match=file):
        open_checkpoint(tmp_path)
