"""Recipes become passes in an order that works, and what comes out keeps the core's signature."""

import onnx_ir as ir
import pytest

from tests.makers import SMALL
from tests.passes import forms
from tests.passes.forms import CORE, DECOMPOSED, form
from tests.passes.test_equivalence import FORMS, NAMES
from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.passes.plan import make, passes_for


def planned(recipe: Recipe, part: Part) -> list[str]:
    """Return the names of the passes."""
    return [type(step).__name__ for step in passes_for(recipe, part)]


def test_core_form_needs_no_pass() -> None:
    assert [planned(CORE, part) for part in PARTS] == [[], []]


def test_attention_comes_before_precision_and_cross_before_self() -> None:
    half = form(DECOMPOSED, encoder_precision="fp16", decoder_precision="fp16")
    assert planned(half, "encoder") == ["MhaToDecomposed", "Fp16"]
    assert planned(half, "decoder") == ["MhaToDecomposed", "GqaToDecomposed", "Fp16"]
    causal = form(DECOMPOSED, self_attention="mha", cache="concat")
    assert planned(causal, "decoder") == ["MhaToDecomposed", "GqaToMha"]


@pytest.mark.parametrize(
    ("int8", "expected"),
    [
        ("block", ["BlockInt8", "BlockInt8"]),
        ("group", ["GroupInt8", "GroupInt8"]),
        ("dynamic", ["DynamicInt8", "BlockInt8"]),
    ],
)
def test_eight_bits_are_made_as_the_recipe_says(int8: str, expected: list[str]) -> None:
    recipe = form(CORE, encoder_precision="int8", decoder_precision="int8", int8=int8)
    assert [name for part in PARTS for name in planned(recipe, part)] == expected


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("recipe", FORMS, ids=NAMES)
def test_names_and_versions_are_those_of_the_core(
    recipe: Recipe, part: Part, small_core: CoreModel
) -> None:
    core, model = small_core.part(part), make(recipe, small_core, part)
    assert model.ir_version == 10
    assert model.graph.opset_imports == {"": 20, "com.microsoft": 1}
    assert [v.name for v in model.graph.outputs] == [v.name for v in core.graph.outputs]
    gone = {"past_sequence_length"} if recipe.cache == "concat" else set()
    expected = [v.name for v in core.graph.inputs if v.name not in gone]
    assert [v.name for v in model.graph.inputs] == expected
    names = [node.name for node in model.graph]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("recipe", FORMS, ids=NAMES)
def test_standard_recipes_hold_no_contributed_operator(
    recipe: Recipe, small_core: CoreModel
) -> None:
    forms_asked = {recipe.self_attention, recipe.cross_attention, recipe.encoder_attention}
    rounded = {recipe.encoder_precision, recipe.decoder_precision}
    standard = forms_asked == {"decomposed"} and ("int8" not in rounded or recipe.int8 == "group")
    domains = {node.domain for part in PARTS for node in make(recipe, small_core, part).graph}
    assert (domains == {""}) == standard


def test_tensorrt_gets_standard_operators_only() -> None:
    chosen = [recipe for recipe in FORMS if recipe.name.startswith("tensorrt-")]
    assert chosen
    for recipe in chosen:
        assert recipe.self_attention == recipe.cross_attention == recipe.encoder_attention
        assert (recipe.self_attention, recipe.cache) == ("decomposed", "static")


def test_variant_is_both_graphs_with_their_weights(small_checkpoint: Checkpoint, tmp_path) -> None:
    forms.write(small_checkpoint, CORE, tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    graphs = {f"{part}.onnx{ending}" for part in PARTS for ending in ("", ".data")}
    assert graphs <= written
    inputs = ir.load(tmp_path / "decoder.onnx").graph.inputs
    assert len(inputs) == 2 + 4 * SMALL.decoder_layers
