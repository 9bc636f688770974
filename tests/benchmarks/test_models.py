from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.peers.engine import Source
from benchmarks.peers.models import huggingface, random_weights, safetensors
from tests.graph.numpy_whisper import NumpyWhisper
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.checkpoint.shapes import required
from whisperopt.testing.made import TINY, MadeCheckpoint
from whisperopt.whisper import Dimensions


def test_a_folder_for_transformers_holds_the_same_model(tmp_path: Path) -> None:
    made = MadeCheckpoint()
    huggingface.write_checkpoint(made, tmp_path)
    read = open_checkpoint(tmp_path)
    assert read.dims == made.dims
    assert read.decoding.languages == made.decoding.languages
    assert set(read.names()) == set(made.names())
    for name in made.names():
        assert np.array_equal(read.tensor(name), made.tensor(name)), name


def test_a_tensor_of_another_shape_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weight has the shape"):
        safetensors.write(
            tmp_path / "x", {"a.weight": (2, 3)}, lambda _: np.zeros((3, 2), np.float32)
        )


def test_a_model_is_made_once(tmp_path: Path) -> None:
    source = Source(model="base", work=str(tmp_path / "work"), release="")
    written = []

    def write(out: Path) -> None:
        written.append(out)
        (out / "model").touch()

    folders = {source.made("ggml", write) for _ in range(2)}
    assert len(written) == 1
    assert [path.name for path in folders.pop().iterdir()] == ["model"]


def test_a_model_that_broke_off_leaves_nothing(tmp_path: Path) -> None:
    source = Source(model="base", work=str(tmp_path / "work"), release="")

    def write(out: Path) -> None:
        (out / "model").touch()
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="full"):
        source.made("ggml", write)
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize(("name", "millions"), [("small", 242), ("turbo", 809)])
def test_sizes_are_those_of_openai(name: str, millions: int) -> None:
    dims = random_weights.dimensions(name)
    assert dims.check() is None
    total = sum(int(np.prod(shape)) for shape in required(dims).values())
    assert round(total / 1e6) == pytest.approx(millions, abs=1)


@pytest.mark.parametrize("prompt", [[257, 258, 263, 267], [257, 260, 263, 267]])
def test_every_text_of_weights_of_chance_is_the_same(prompt: list[int]) -> None:
    end = MadeCheckpoint().decoding.end_of_text
    fields = {field: getattr(TINY, field) for field in TINY.__struct_fields__}
    dims = Dimensions(**(fields | {"text_context": 64}))
    drawn = random_weights.RandomTensors(dims, end)
    checkpoint = SimpleNamespace(dims=dims, names=lambda: drawn.shapes, tensor=drawn.tensor)
    model = NumpyWhisper(checkpoint)
    features = np.random.default_rng(0).standard_normal((1, dims.mels, dims.frames))
    hidden = model.encode(features)
    ids = prompt
    while len(ids) - len(prompt) <= random_weights.TOKENS and ids[-1] != end:
        logits = model.decode(hidden, np.array([ids], np.int32))
        ids = [*ids, int(logits[0, -1].argmax())]
    assert ids == [*prompt, *drawn.text, end]
    assert len(set(drawn.text)) == random_weights.TOKENS
