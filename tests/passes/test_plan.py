"""Recipes become passes in an order that works, and what comes out keeps the core's signature."""

from pathlib import Path

import msgspec
import onnx
import onnx_ir as ir
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import CORE, DECOMPOSED, form
from tests.passes.test_equivalence import GRAPHS, SELF_FORMS
from whisperopt.backend import Attention, Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.graph.inference import inferred
from whisperopt.passes.gqa import GqaToMha
from whisperopt.passes.plan import dims_of, make, passes_for, write_variant
from whisperopt.passes.rewrite import PassError
from whisperopt.recipe import Cache, Precision


def planned(recipe: Recipe, part: Part) -> list[str]:
    """Return the names of the passes."""
    return [type(step).__name__ for step in passes_for(recipe, part)]


def test_core_form_needs_no_pass() -> None:
    assert [planned(CORE, part) for part in PARTS] == [[], []]


def test_attention_comes_before_precision_and_cross_before_self() -> None:
    half = form(DECOMPOSED, encoder_precision="fp16", decoder_precision="fp16")
    assert planned(half, "encoder") == ["MhaToDecomposed", "Half"]
    assert planned(half, "decoder") == ["MhaToDecomposed", "GqaToDecomposed", "Half"]
    causal = form(DECOMPOSED, self_attention="mha", cache="concat")
    assert planned(causal, "decoder") == ["MhaToDecomposed", "GqaToMha"]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_forms_of_one_precision_have_the_same_weights_beside_them(
    precision: Precision, tmp_path: Path
) -> None:
    dims = msgspec.structs.replace(SMALL, text_context=300, audio_context=300)  # tables of 1.2 kB
    core = CoreModel(forms.MadeCheckpoint(dims, weights(dims)))
    own = {"encoder_precision": precision, "decoder_precision": precision, "int8": "block"}
    bases = [CORE, DECOMPOSED]
    if precision != "fp16":  # spans are logarithms in single precision
        bases.append(form(CORE, audio_tail=1.0, traits=("optional-spans",)))
    bases += [form(CORE, self_attention="attention", cache="concat", cross_attention="attention")]
    for index, base in enumerate(bases):
        folder = tmp_path / str(index)
        folder.mkdir()
        write_variant(form(base, **own), core, folder)
    for part in PARTS:
        found = {path.read_bytes() for path in tmp_path.glob(f"*/{part}.onnx.data")}
        assert len(found) == 1
        assert len({path.read_bytes() for path in tmp_path.glob(f"*/{part}.onnx")}) > 1


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


@pytest.mark.parametrize(
    ("self_attention", "cache"),
    [("mha", "shared"), ("mha", "static"), ("attention", "shared"), ("decomposed", "shared")],
)
def test_caches_that_a_form_cannot_have_are_refused_by_name(
    self_attention: Attention, cache: Cache
) -> None:
    recipe = form(CORE, name="odd", self_attention=self_attention, cache=cache)
    with pytest.raises(PassError, match=rf"'odd' .*{self_attention}' over a cache '{cache}'"):
        passes_for(recipe, "decoder")
    assert planned(recipe, "encoder") == []


def test_every_other_cache_is_taken() -> None:
    taken = [(recipe.self_attention, recipe.cache) for recipe in SELF_FORMS if not recipe.traits]
    assert taken == [
        *(("gqa", cache) for cache in ("shared", "static", "concat")),
        ("mha", "concat"),
        *(("attention", cache) for cache in ("static", "concat")),
        *(("decomposed", cache) for cache in ("static", "concat")),
    ]


def test_mask_is_spelled_out_where_the_traits_say_so() -> None:
    plain = form(CORE, self_attention="mha", cache="concat", options={"device": "GPU"})
    (step,) = passes_for(plain, "decoder")
    assert isinstance(step, GqaToMha)
    assert not step.explicit_mask
    (step,) = passes_for(form(plain, traits=("explicit-mask",)), "decoder")
    assert isinstance(step, GqaToMha)
    assert step.explicit_mask


def test_heads_are_pooled_before_anything_else() -> None:
    recipe = form(DECOMPOSED, kv_heads=2, decoder_precision="fp16")
    expected = ["GroupHeads", "MhaToDecomposed", "GqaToDecomposed", "Half"]
    assert planned(recipe, "decoder") == expected
    assert "GroupHeads" not in planned(recipe, "encoder")


def test_sizes_of_a_variant_follow_its_recipe() -> None:
    assert dims_of(CORE, SMALL) == SMALL
    pooled = dims_of(form(CORE, kv_heads=2), SMALL)
    assert pooled == msgspec.structs.replace(SMALL, decoder_kv_heads=2)


@pytest.mark.parametrize(("recipe", "part"), GRAPHS, ids=[f"{r.name}-{p}" for r, p in GRAPHS])
def test_names_and_versions_are_those_of_the_core(
    recipe: Recipe, part: Part, small_core: CoreModel
) -> None:
    core, model = small_core.part(part), make(recipe, small_core, part)
    opset = opset_of(recipe, part)
    assert model.ir_version == (11 if opset == 23 else 10)
    assert model.graph.opset_imports == {"": opset, "com.microsoft": 1}
    takes, gives = spans_of(recipe, part)
    assert [v.name for v in model.graph.outputs] == [*(v.name for v in core.graph.outputs), *gives]
    gone = {"past_sequence_length"} if recipe.cache == "concat" else set()
    expected = [v.name for v in core.graph.inputs if v.name not in gone]
    assert [v.name for v in model.graph.inputs] == [*expected, *takes, *asked_of(recipe, part)]
    names = [node.name for node in model.graph]
    assert len(names) == len(set(names))
    standard = asked(recipe, part) <= {"attention", "decomposed"} and not (
        "int8" in precisions(recipe, part) and recipe.int8 != "group"
    )
    assert ({node.domain for node in model.graph} == {""}) == (
        standard and "contributed-gelu" not in recipe.traits
    )


def asked_of(recipe: Recipe, part: Part) -> list[str]:
    """Return the input of decoders that can be asked for the last logits alone."""
    return ["logits_from"] if part == "decoder" and "last-logits" in recipe.traits else []


def spans_of(recipe: Recipe, part: Part) -> tuple[list[str], list[str]]:
    """Return the inputs and outputs that only models with an audio tail have."""
    if recipe.audio_tail is None:
        return [], []
    encoder = ["audio_spans"], ["present_bias_cross"]
    return encoder if part == "encoder" else (["past_bias_cross"], [])


def asked(recipe: Recipe, part: Part) -> set[str]:
    """Return the forms of attention that one part is asked for."""
    if part == "encoder":
        return {recipe.encoder_attention}
    return {recipe.self_attention, recipe.cross_attention}


def precisions(recipe: Recipe, part: Part) -> set[str]:
    """Return the precision of one part."""
    return {recipe.encoder_precision if part == "encoder" else recipe.decoder_precision}


def opset_of(recipe: Recipe, part: Part) -> int:
    """Return the newest opset that one part needs."""
    if "attention" in asked(recipe, part):
        return 23
    return 22 if "bf16" in precisions(recipe, part) else 20


@pytest.mark.parametrize(("recipe", "part"), GRAPHS, ids=[f"{r.name}-{p}" for r, p in GRAPHS])
def test_newer_opset_changes_the_meaning_of_no_operator(
    recipe: Recipe, part: Part, small_core: CoreModel
) -> None:
    model = make(recipe, small_core, part)
    opset = model.graph.opset_imports[""]
    for op_type in {node.op_type for node in model.graph if not node.domain} - {"Attention"}:
        then, now = (signature(op_type, version) for version in (20, opset))
        assert now == then, op_type


def signature(op_type: str, opset: int) -> tuple[list[str], dict[str, object]]:
    """Return operands and attributes of an operator as one opset defines them."""
    schema = onnx.defs.get_schema(op_type, opset, "")
    operands = [f"{o.name} {o.option}" for o in (*schema.inputs, *schema.outputs)]
    defaults = {name: one.default_value for name, one in schema.attributes.items()}
    return operands, {name: (one.type, one.i, one.f, one.s) for name, one in defaults.items()}


@pytest.mark.parametrize(("recipe", "part"), GRAPHS, ids=[f"{r.name}-{p}" for r, p in GRAPHS])
def test_every_type_is_known_to_the_structural_proof(
    recipe: Recipe, part: Part, small_core: CoreModel
) -> None:
    model = inferred(make(recipe, small_core, part))
    unknown = [v.name for node in model.graph for v in node.outputs if v.dtype is None]
    assert not unknown


def test_variant_is_both_graphs_with_their_weights(small_checkpoint: Checkpoint, tmp_path) -> None:
    forms.write(small_checkpoint, CORE, tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    graphs = {f"{part}.onnx{ending}" for part in PARTS for ending in ("", ".data")}
    assert graphs <= written
    inputs = ir.load(tmp_path / "decoder.onnx").graph.inputs
    assert len(inputs) == 2 + 4 * SMALL.decoder_layers


def test_a_decoder_in_whole_numbers_leaves_the_rest_for_blocks() -> None:
    whole = form(CORE, decoder_precision="int8", int8="dynamic", traits=("dynamic-decoder",))
    assert planned(whole, "decoder") == ["DynamicDecoder", "FoldBias", "BlockInt8"]
    assert planned(form(CORE, traits=("last-logits",)), "decoder") == ["LogitsOfLast"]
    assert planned(form(CORE, traits=("last-logits",)), "encoder") == []
