"""Ranges: what would overflow in half precision is found, and where."""

from pathlib import Path

import numpy as np
import pytest

from tests.makers import SMALL, weights
from tests.passes.forms import DECOMPOSED, MadeCheckpoint, form, speech_like
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import CoreModel
from whisperopt.proof.evidence import Range
from whisperopt.proof.ranges import largest_activation, write_twin

TOKENS = [257, 263, 10, 20, 30]
HALF = {"encoder_precision": "fp16", "decoder_precision": "fp16"}


def measured(tmp_path: Path, changes: dict[str, float], **recipe: str) -> Range:
    """Return the range of a model some of whose tensors were scaled."""
    made = weights(SMALL)
    for name, factor in changes.items():
        made[name] = made[name] * np.float32(factor)
    core = CoreModel(MadeCheckpoint(SMALL, made))
    folder = tmp_path / recipe.get("cache", "twin")
    write_twin(form(**HALF, **recipe), core, folder)
    return largest_activation(folder, [(speech_like(SMALL, batch=1), TOKENS)])


def test_a_tame_model_stays_far_below_the_limit(tmp_path: Path) -> None:
    assert 0 < measured(tmp_path, {}).value < 100


@pytest.mark.parametrize("tensor", ["encoder.layers.1.fc2.weight", "decoder.layers.1.fc2.weight"])
def test_a_huge_activation_is_found_and_its_node_named(tmp_path: Path, tensor: str) -> None:
    found = measured(tmp_path, {tensor: 1e6})
    assert found.value > 65504
    side, _, layer = tensor.split(".")[:3]
    assert layer in found.node or side in found.node


def test_every_form_of_attention_can_be_watched(tmp_path: Path) -> None:
    name = "decoder.layers.0.self_attn.out_proj.weight"
    found = [
        measured(tmp_path, {name: 1e5}, self_attention=form_, cache=cache)
        for form_, cache in (("gqa", "shared"), ("mha", "concat"), ("decomposed", "static"))
    ]
    values = [one.value for one in found]
    assert values == pytest.approx([values[0]] * 3, rel=1e-3)


def test_the_worst_of_all_inputs_counts(tmp_path: Path) -> None:
    core = CoreModel(MadeCheckpoint(SMALL, weights(SMALL)))
    write_twin(DECOMPOSED, core, tmp_path / "twin")
    quiet, loud = speech_like(SMALL, batch=1), 500 * speech_like(SMALL, batch=1, seed=3)
    alone = largest_activation(tmp_path / "twin", [(loud, TOKENS)])
    both = largest_activation(tmp_path / "twin", [(loud, TOKENS), (quiet, TOKENS)])
    assert both == alone


def test_overflow_even_in_fp32_is_an_error_that_names_the_node(tmp_path: Path) -> None:
    with pytest.raises(WhisperoptError, match="even in fp32"):
        measured(tmp_path, {f"encoder.layers.0.fc{i}.weight": 1e37 for i in (1, 2)})
