"""Graphs are written tensor by tensor, the same bytes every time."""

import gc
import time
import weakref

import numpy as np
import onnx
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import CORE, MadeCheckpoint, form
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import PARTS, CoreModel, Part, write

INLINE = 1024
"""Bytes from which on a tensor lies outside of the graph."""


class Watched(MadeCheckpoint):
    """A checkpoint that counts how many of the large tensors it handed out are alive."""

    def __init__(self, dims, made) -> None:
        super().__init__(dims, made)
        self.alive = self.peak = 0
        self.read: list[str] = []

    def tensor(self, name: str):
        self.read.append(name)
        array = self.weights[name].copy()
        if array.nbytes >= INLINE:
            self.alive += 1
            self.peak = max(self.peak, self.alive)
            weakref.finalize(array, self._gone)
            time.sleep(0.001)  # whoever reads at the same time is seen
        return array

    def _gone(self) -> None:
        self.alive -= 1


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
        assert (tensor.data_location == onnx.TensorProto.EXTERNAL) == (size >= INLINE), tensor.name
        assert outside.get("location", f"{path.name}.data") == f"{path.name}.data"
    onnx.checker.check_model(path, full_check=True)


@pytest.mark.parametrize(
    "recipe",
    [
        CORE,
        form(encoder_precision="fp16", decoder_precision="fp16", name="fp16"),
        form(encoder_precision="int8", decoder_precision="int8", int8="block", name="block"),
        form(forms.DECOMPOSED, encoder_precision="int8", int8="dynamic", name="dynamic"),
        form(forms.DECOMPOSED, decoder_precision="int8", int8="group", name="group"),
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
    assert checkpoint.alive == 0
    # one that is written, one that is read
    assert checkpoint.peak <= 2
    assert set(checkpoint.read) == set(checkpoint.weights)


def test_nothing_is_read_while_a_graph_is_authored() -> None:
    checkpoint = Watched(SMALL, weights(SMALL))
    core = CoreModel(checkpoint)
    for part in PARTS:
        core.part(part)
    assert not checkpoint.read
