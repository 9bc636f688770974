"""Ranges: what would overflow in half precision is found, and where."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.makers import SMALL, weights
from tests.passes.forms import DECOMPOSED, MadeCheckpoint, form, speech_like, write
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate.evidence import Range
from whisperopt.evaluate.trial import largest_activation
from whisperopt.graph.core import write as write_graph
from whisperopt.passes.half import write_twin
from whisperopt.passes.rewrite import canvas_for

TOKENS = [257, 263, 10, 20, 30]
HALF = {"encoder_precision": "fp16", "decoder_precision": "fp16"}


def measured(tmp_path: Path, changes: dict[str, float], **recipe: str) -> Range:
    """Return the range of a model some of whose tensors were scaled."""
    made = weights(SMALL)
    for name, factor in changes.items():
        made[name] = made[name] * np.float32(factor)
    folder = tmp_path / recipe.get("cache", "twin")
    shipped = write(MadeCheckpoint(SMALL, made), form(**HALF, **recipe), tmp_path / "shipped")
    write_twin(shipped.path, folder)
    return largest_activation(folder, [(speech_like(SMALL, batch=1), TOKENS)])


def test_a_tame_model_stays_far_below_the_limit(tmp_path: Path) -> None:
    assert 0 < measured(tmp_path, {}).value < 100


@pytest.mark.parametrize("tensor", ["encoder.layers.1.fc2.weight", "decoder.layers.1.fc2.weight"])
def test_a_huge_activation_is_found_and_its_node_named(tmp_path: Path, tensor: str) -> None:
    found = measured(tmp_path, {tensor: 3e5})
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
    checkpoint = MadeCheckpoint(SMALL, weights(SMALL))
    write_twin(write(checkpoint, form(DECOMPOSED, **HALF), tmp_path).path, tmp_path / "twin")
    quiet, loud = speech_like(SMALL, batch=1), 500 * speech_like(SMALL, batch=1, seed=3)
    alone = largest_activation(tmp_path / "twin", [(loud, TOKENS)])
    both = largest_activation(tmp_path / "twin", [(loud, TOKENS), (quiet, TOKENS)])
    assert both == alone


def test_what_is_no_number_even_in_fp32_is_an_error_that_names_the_node(tmp_path: Path) -> None:
    with pytest.raises(WhisperoptError, match="even in fp32"):
        measured(tmp_path, {"encoder.layers.0.fc1.bias": float("nan")}, name="odd")


def test_a_weight_that_half_precision_does_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WhisperoptError, match=r"fc1\.weight holds numbers that do not fit"):
        measured(tmp_path, {"encoder.layers.0.fc1.weight": 1e9})


def test_the_graph_that_ships_is_watched_and_not_what_its_recipe_says(tmp_path: Path) -> None:
    """A backend may write what it likes: here it overflows in between and looks tame again."""
    checkpoint = MadeCheckpoint(SMALL, weights(SMALL))
    shipped = write(checkpoint, form(DECOMPOSED, **HALF), tmp_path / "shipped")
    encoder = ir.load(shipped.graph("encoder"))
    gelu = [node for node in encoder.graph if node.op_type == "Gelu"][-1]
    canvas = canvas_for(encoder, "odd/")
    factors = [np.array(factor, np.float16) for factor in (30_000, 1 / 30_000)]
    value = gelu.outputs[0]
    for index, factor in enumerate(factors):
        value = canvas.op("Mul", value, canvas.constant(f"factor_{index}", factor))
        value.type, value.shape = gelu.outputs[0].type, gelu.outputs[0].shape
    users = [(use.node, use.idx) for use in gelu.outputs[0].uses() if use.node not in canvas.nodes]
    encoder.graph.insert_after(gelu, canvas.nodes)
    for node, index in users:
        node.replace_input_with(index, value)
    odd = tmp_path / "odd"
    odd.mkdir()
    write_graph(encoder, odd / "encoder.onnx")
    write_graph(ir.load(shipped.graph("decoder")), odd / "decoder.onnx")
    write_twin(odd, tmp_path / "twin")
    found = largest_activation(tmp_path / "twin", [(speech_like(SMALL, batch=1), TOKENS)])
    assert found.value > 30_000
    assert "odd/" in found.node or "Mul" in found.node
