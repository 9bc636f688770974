"""Graphs are written tensor by tensor, the same bytes every time."""

import gc
import weakref

import numpy as np
import onnx
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import CORE, MadeCheckpoint, form
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.graph.files import write


class Watched(MadeCheckpoint):
    """A checkpoint that counts how many of the tensors it handed out are alive."""

    def __init__(self, dims, made) -> None:
        super().__init__(dims, made)
        self.alive = self.peak = self.largest = self.bytes = 0
        self.read: list[str] = []

    def tensor(self, name: str):
        self.read.append(name)
        array = self.weights[name].copy()
        self.alive += 1
        self.bytes += array.nbytes
        self.peak = max(self.peak, self.alive)
        self.largest = max(self.largest, self.bytes)
        weakref.finalize(array, self._gone, array.nbytes)
        return array

    def _gone(self, size: int) -> None:
        self.alive -= 1
        self.bytes -= size


@pytest.mark.parametrize("part", PARTS)
def test_weights_lie_outside_of_the_graph(part: Part, small_core: CoreModel, tmp_path) -> None:
    path = tmp_path / f"{part}.onnx"
    write(small_core.part(part), path)
    assert {file.name for file in tmp_path.iterdir()} == {path.name, f"{path.name}.data"}
    for tensor in onnx.load(path, load_external_data=False).graph.initializer:
        outside = {entry.key: entry.value for entry in tensor.external_data}
        size = (
            np.prod(tensor.dims)
            * np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        )
        assert (tensor.data_location == onnx.TensorProto.EXTERNAL) == (size >= 1024), tensor.name
        assert outside.get("location", f"{path.name}.data") == f"{path.name}.data"
    onnx.checker.check_model(path, full_check=True)


@pytest.mark.parametrize(
    "recipe",
    [
        CORE,
        form(encoder_precision="fp16", decoder_precision="fp16", name="fp16"),
        form(encoder_precision="int8", decoder_precision="int8", int8="block", name="block"),
        form(forms.DECOMPOSED, encoder_precision="int8", int8="dynamic", name="dynamic"),
        form(forms.DECOMPOSED, decoder_precision="int8", int8="channel", name="channel"),
    ],
    ids=lambda recipe: recipe.name,
)
def test_two_builds_are_byte_identical(recipe, small_checkpoint: Checkpoint, tmp_path) -> None:
    first, second = (forms.write(small_checkpoint, recipe, tmp_path / n) for n in "ab")
    for file in first.path.iterdir():
        assert file.read_bytes() == (second.path / file.name).read_bytes(), file.name
    assert len(list(first.path.iterdir())) == len(list(second.path.iterdir()))


@pytest.mark.parametrize("recipe", [CORE, forms.DECOMPOSED], ids=lambda recipe: recipe.name)
def test_one_tensor_at_a_time_is_in_memory(recipe, tmp_path) -> None:
    checkpoint = Watched(SMALL, weights(SMALL))
    forms.write(checkpoint, recipe, tmp_path)
    gc.collect()
    # small tensors go inside the graph and stay until it is on disk
    inside = sum(array.size * 4 < 1024 for array in checkpoint.weights.values())
    largest = max(array.nbytes for array in checkpoint.weights.values())
    assert checkpoint.alive == 0
    assert checkpoint.peak <= inside + 2
    assert checkpoint.largest <= inside * 1024 + 2 * largest
    assert set(checkpoint.read) == set(checkpoint.weights)


def test_nothing_is_read_while_a_graph_is_authored() -> None:
    checkpoint = Watched(SMALL, weights(SMALL))
    core = CoreModel(checkpoint)
    for part in PARTS:
        core.part(part)
    assert not checkpoint.read
