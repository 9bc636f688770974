"""Honest variants of every backend pass; whatever was done to a weight is named."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx_ir as ir
import pytest

from tests.evaluate.variants import (
    CORE,
    FC1,
    FC2,
    FLOATS,
    FORMS,
    GATES,
    Array,
    Made,
    edited,
    judged,
    made,
    reason,
    recipe_for,
    rewritten,
    swap,
    times,
    write_manifest,
)
from tests.targets import OWN
from whisperopt import registry
from whisperopt.backend import Recipe
from whisperopt.reasons import Reason
from whisperopt.static_checks.weights import check

__all__ = ["made"]

LADDERS = [(name, recipe) for name in OWN for recipe in registry.require(name).recipes()]
POOLED = next(recipe for name, recipe in LADDERS if name == "cpu").pooled(2)


@pytest.mark.parametrize(
    ("backend", "recipe"),
    [*LADDERS, ("cpu", POOLED)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_honest_variants_pass_and_everything_is_compared(
    backend: str, recipe: Recipe, tmp_path: Path
) -> None:
    registry.require(backend).build(recipe, CORE, tmp_path)
    found = judged(write_manifest(tmp_path, recipe))
    assert found.reasons == ()
    assert found.not_compared == ()
    assert found.compared == found.of == len(CORE.checkpoint.names())


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_no_further_off_than_their_type_makes_them(form: str, made: Made) -> None:
    most = {"fp32": 1e-6, "fp16": 4e-4, "bf16": 3e-3, "dynamic": 0.03, "whole": 0.03}
    recipe = recipe_for(form)
    gates = msgspec.structs.replace(
        GATES(recipe.precisions), weight_error=most.get(form, 0.02), weight_scale=2e-3
    )
    assert check(CORE, made(form), recipe, gates).reasons == ()


@pytest.mark.parametrize(
    ("form", "factor"), [*((form, 1.02) for form in FORMS), ("fp32", 1.1), ("dynamic", 0.9)]
)
@pytest.mark.parametrize("name", [FC1, FC2])
def test_a_scaled_weight_is_named_with_its_slope(
    name: str, form: str, factor: float, made: Made, tmp_path: Path
) -> None:
    stored = name if form in FLOATS else f"{name}_scales"
    found = reason(edited(made(form), tmp_path / "out", stored, times(factor)))
    assert (found.code, found.place) == ("weights.off", repr(name))
    assert found.values["part"] == name.partition(".")[0]
    assert found.values["slope"] == pytest.approx(factor, abs=0.002)


@pytest.mark.parametrize("form", FORMS)
def test_a_scaled_table_is_named(form: str, made: Made, tmp_path: Path) -> None:
    name = "decoder.embed_tokens.weight"
    stored = name if form in FLOATS else f"{name}_scales"
    found = judged(edited(made(form), tmp_path / "out", stored, times(0.98)))
    for fault in found.reasons:
        assert fault.place == repr(name)
        assert fault.values["slope"] == pytest.approx(0.98, abs=0.002)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [FC1, FC2])
def test_one_scaled_channel_is_named(name: str, form: str, made: Made, tmp_path: Path) -> None:
    stored, at = (name, (..., 17)) if form in FLOATS else (f"{name}_scales", (17,))
    found = reason(edited(made(form), tmp_path / "out", stored, times(1.02, *at)))
    assert found.place.endswith(f"channel 17 of {name!r}")
    assert found.values["slope"] == pytest.approx(1.02, abs=0.01)


@pytest.mark.parametrize("form", ["block", "group"])
def test_one_scaled_block_is_named(form: str, made: Made, tmp_path: Path) -> None:
    out = edited(made(form), tmp_path / "out", f"{FC2}_scales", times(1.02, 17, 1))
    assert reason(out).place == f"inputs 32 to 63 of channel 17 of {FC2!r}"


@pytest.mark.parametrize("form", FORMS)
def test_a_zeroed_bias_is_named(form: str, made: Made, tmp_path: Path) -> None:
    name = "decoder.layers.0.self_attn.q_proj.bias"
    found = reason(edited(made(form), tmp_path / "out", name, times(0)))
    assert found.place == repr(name)
    assert (found.values["error"], found.values["slope"]) == (1.0, 0.0)


@pytest.mark.parametrize("form", FORMS)
def test_one_changed_number_of_a_bias_is_seen_in_every_variant(
    form: str, made: Made, tmp_path: Path
) -> None:
    """Biases stay finer than 8-bit weights, and must come closer."""
    name = "encoder.layers.0.fc2.bias"
    found = reason(edited(made(form), tmp_path / "out", name, times(1.2, 5)))
    assert found.place == repr(name)
    assert found.values["allowed"] == {"fp16": 1e-3, "bf16": 8e-3}.get(form, 1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("part", "shift"), [("encoder", -1), ("decoder", 1)])
def test_a_shifted_position_table_is_named(
    shift: int, part: str, form: str, made: Made, tmp_path: Path
) -> None:
    name = f"{part}.embed_positions.weight"
    found = reason(edited(made(form), tmp_path / "out", name, lambda a: np.roll(a, shift, 0)))
    assert found.place == repr(name)


@pytest.mark.parametrize("form", FLOATS)
def test_two_swapped_channels_or_inputs_are_named(form: str, made: Made, tmp_path: Path) -> None:
    rows = reason(edited(made(form), tmp_path / "rows", FC2, swap(3, 50)))
    assert rows.place == repr(FC2)
    columns = reason(edited(made(form), tmp_path / "columns", FC2, swap(3, 50, axis=1)))
    assert columns.place == f"channel 3 of {FC2!r}"
    assert columns.values["wrong"] == "2 of 96 channels"


def test_two_swapped_words_are_named(made: Made, tmp_path: Path) -> None:
    name = "decoder.embed_tokens.weight"
    found = judged(edited(made("fp16"), tmp_path / "out", name, swap(5, 300)))
    assert [fault.place for fault in found.reasons] == [
        f"row 5 of {name!r}",
        f"channel 5 of {name!r}",
    ]
    assert found.reasons[0].values["wrong"] == "2 of 320 rows"


@pytest.mark.parametrize(("form", "name"), [("dynamic", FC1), ("block", FC2), ("group", FC2)])
def test_swapped_whole_numbers_are_refused(
    form: str, name: str, made: Made, tmp_path: Path
) -> None:
    found = reason(edited(made(form), tmp_path / "out", f"{name}_int8", swap(3, 50)))
    assert name in found.place
    inner = reason(edited(made(form), tmp_path / "inner", f"{name}_int8", swap(3, 30, axis=-1)))
    assert name in inner.place


def test_a_transposed_weight_is_named(made: Made, tmp_path: Path) -> None:
    name = "decoder.layers.0.self_attn.v_proj.weight"
    found = reason(edited(made("fp32"), tmp_path / "out", name, np.transpose))
    assert (found.code, found.place) == ("weights.off", repr(name))


@pytest.mark.parametrize(
    ("form", "number"), [("fp32", np.nan), ("fp16", np.inf), ("block", np.nan), ("group", np.inf)]
)
def test_numbers_that_are_none_are_named(
    form: str, number: float, made: Made, tmp_path: Path
) -> None:
    stored = FC2 if form in FLOATS else f"{FC2}_scales"

    def spoil(array: Array) -> Array:
        array[0, 0] = number
        return array

    found = reason(edited(made(form), tmp_path / "out", stored, spoil))
    assert found.code == "weights.not-finite"
    assert FC2 in found.place


def test_a_query_whose_bias_lost_its_share_of_the_scale_is_refused(
    made: Made, tmp_path: Path
) -> None:
    name = "decoder.layers.1.encoder_attn.q_proj.bias"
    found = reason(edited(made("fp32"), tmp_path / "out", name, times(24**0.5)))
    assert (found.code, found.place) == ("weights.factor", repr(name))
    assert found.values["factor"] == pytest.approx(24**0.5)


def test_queries_whose_attention_scales_the_scores_are_the_checkpoints(
    made: Made, tmp_path: Path
) -> None:
    folder = made("fp32")
    for index, end in enumerate(("weight", "bias")):
        name = f"decoder.layers.1.self_attn.q_proj.{end}"
        folder = edited(folder, tmp_path / str(index), name, times(24**0.5))
    assert judged(folder).reasons == ()


def test_a_weight_that_no_node_uses_and_one_that_is_gone_are_told_apart(
    made: Made, tmp_path: Path
) -> None:
    name = "decoder.layers.0.fc1.bias"

    def bypass(model: ir.Model) -> None:
        (use,) = model.graph.initializers[name].uses()
        product = use.node.inputs[0]
        assert product is not None
        ir.convenience.replace_all_uses_with(use.node.outputs[0], product)
        model.graph.remove(use.node, safe=True)

    def drop(model: ir.Model) -> None:
        bypass(model)
        model.graph.initializers.pop(name)

    unused = reason(rewritten(made("block"), tmp_path / "unused", "decoder", bypass))
    assert (unused.code, unused.place) == ("weights.unused", repr(name))
    gone = judged(rewritten(made("block"), tmp_path / "gone", "decoder", drop))
    assert gone.reasons == (Reason("weights.missing", repr(name), {"part": "decoder"}),)
    assert gone.compared == gone.of - 1


def test_many_reasons_are_counted(made: Made, tmp_path: Path) -> None:
    def zero(model: ir.Model) -> None:
        for name, value in model.graph.initializers.items():
            if name.endswith(".bias") and value.const_value is not None:
                array = np.zeros_like(value.const_value.numpy())
                value.const_value = ir.Tensor(array, name=name)

    found = judged(rewritten(made("fp32"), tmp_path / "out", "encoder", zero))
    assert len(found.reasons) == 6
    assert found.reasons[-1].code == "weights.more"


def test_graphs_that_cannot_be_read_are_reasons(made: Made, tmp_path: Path) -> None:
    short = tmp_path / "short"
    shutil.copytree(made("fp32"), short)
    (short / "decoder.onnx.data").write_bytes(b"1234")
    (short / "encoder.onnx").write_bytes(b"no graph")
    found = judged(short)
    assert (found.reasons[0].code, found.reasons[0].place) == ("weights.no-graph", "encoder.onnx")
    assert found.reasons[1].code == "weights.unreadable"
    empty = tmp_path / "empty"
    shutil.copytree(made("fp32"), empty)
    (empty / "decoder.onnx").unlink()
    assert reason(empty).place == "decoder.onnx"
