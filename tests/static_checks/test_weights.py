"""Honest variants of every backend pass; whatever was done to a weight is named."""

import re
import shutil
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.evaluate.variants import (
    CORE,
    FC1,
    FC2,
    FLOATS,
    FORMS,
    Array,
    Made,
    edited,
    judged,
    made,
    reason,
    rewritten,
    swap,
    times,
    write_manifest,
)
from tests.targets import OWN
from whisperopt import registry
from whisperopt.backend import Recipe

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
def test_how_far_weights_are_off_is_what_their_type_does(form: str, made: Made) -> None:
    most = {"fp32": 1e-6, "fp16": 4e-4, "bf16": 3e-3, "dynamic": 0.03, "whole": 0.03}
    found = judged(made(form))
    assert found.error.value < most.get(form, 0.02)
    assert (found.error.value > 1e-5) == (form != "fp32")
    assert found.scale.value < 1e-3


@pytest.mark.parametrize(
    ("form", "factor"), [*((form, 1.02) for form in FORMS), ("fp32", 1.1), ("dynamic", 0.9)]
)
@pytest.mark.parametrize("name", [FC1, FC2])
def test_a_scaled_weight_is_named_with_its_factor(
    name: str, form: str, factor: float, made: Made, tmp_path: Path
) -> None:
    stored = name if form in FLOATS else f"{name}_scales"
    found = reason(edited(made(form), tmp_path / "out", stored, times(factor)))
    part = name.partition(".")[0]
    told = re.fullmatch(rf"{part}: '{name}' is ([0-9.]+) times the checkpoint's", found)
    assert told, found
    assert float(told.group(1)) == pytest.approx(factor, abs=0.002)


@pytest.mark.parametrize("form", FORMS)
def test_a_scaled_table_is_named(form: str, made: Made, tmp_path: Path) -> None:
    name = "decoder.embed_tokens.weight"
    stored = name if form in FLOATS else f"{name}_scales"
    found = judged(edited(made(form), tmp_path / "out", stored, times(0.98)))
    assert all(f"decoder: {name!r} is 0.98" in text for text in found.reasons)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [FC1, FC2])
def test_one_scaled_channel_is_named(name: str, form: str, made: Made, tmp_path: Path) -> None:
    columns = form == "dynamic" and name == FC1
    stored, at = (name, (..., 17)) if form in FLOATS else (f"{name}_scales", 17)
    where = at if isinstance(at, tuple) else (at,)
    found = reason(edited(made(form), tmp_path / "out", stored, times(1.02, *where)))
    told = f"channel 17 of {name!r} is 1.0" if columns or form in FLOATS else "channel 17 of"
    assert told in found
    assert name in found


@pytest.mark.parametrize("form", ["block", "group"])
def test_one_scaled_block_is_named(form: str, made: Made, tmp_path: Path) -> None:
    out = edited(made(form), tmp_path / "out", f"{FC2}_scales", times(1.02, 17, 1))
    found = reason(out)
    assert f"inputs 32 to 63 of channel 17 of {FC2!r} is 1.0" in found


@pytest.mark.parametrize("form", FORMS)
def test_a_zeroed_bias_is_named(form: str, made: Made, tmp_path: Path) -> None:
    name = "decoder.layers.0.self_attn.q_proj.bias"
    found = reason(edited(made(form), tmp_path / "out", name, times(0)))
    assert found.endswith(f"{name!r} is all zeros, the checkpoint's is not")


@pytest.mark.parametrize("form", FORMS)
def test_one_changed_number_of_a_bias_is_seen_in_every_variant(
    form: str, made: Made, tmp_path: Path
) -> None:
    """Biases stay finer than 8-bit weights, and must come closer."""
    name = "encoder.layers.0.fc2.bias"
    found = reason(edited(made(form), tmp_path / "out", name, times(1.2, 5)))
    allowed = {"fp16": "0.1 %", "bf16": "0.8 %"}.get(form, "0.001 %")
    assert f"{name!r} differs from the checkpoint's by " in found
    assert f"(allowed {allowed})" in found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("part", "shift"), [("encoder", -1), ("decoder", 1)])
def test_a_shifted_position_table_is_named(
    shift: int, part: str, form: str, made: Made, tmp_path: Path
) -> None:
    name = f"{part}.embed_positions.weight"
    found = reason(edited(made(form), tmp_path / "out", name, lambda a: np.roll(a, shift, 0)))
    assert found == f"{part}: {name!r} is the checkpoint's shifted by 1 row"


@pytest.mark.parametrize("form", FLOATS)
def test_two_swapped_channels_or_inputs_are_named(form: str, made: Made, tmp_path: Path) -> None:
    rows = reason(edited(made(form), tmp_path / "rows", FC2, swap(3, 50)))
    assert f"{FC2!r} has the inputs 3 and 50 of the checkpoint's swapped" in rows
    columns = reason(edited(made(form), tmp_path / "columns", FC2, swap(3, 50, axis=1)))
    assert f"{FC2!r} has the channels 3 and 50 of the checkpoint's swapped" in columns


def test_two_swapped_words_are_named(made: Made, tmp_path: Path) -> None:
    name = "decoder.embed_tokens.weight"
    found = judged(edited(made("fp16"), tmp_path / "out", name, swap(5, 300)))
    assert f"{name!r} has the rows 5 and 300 of the checkpoint's swapped" in found.reasons[0]


@pytest.mark.parametrize(("form", "name"), [("dynamic", FC1), ("block", FC2), ("group", FC2)])
def test_swapped_whole_numbers_are_refused(
    form: str, name: str, made: Made, tmp_path: Path
) -> None:
    found = reason(edited(made(form), tmp_path / "out", f"{name}_int8", swap(3, 50)))
    assert name in found
    inner = reason(edited(made(form), tmp_path / "inner", f"{name}_int8", swap(3, 30, axis=-1)))
    assert name in inner


def test_a_transposed_weight_is_named(made: Made, tmp_path: Path) -> None:
    name = "decoder.layers.0.self_attn.v_proj.weight"
    found = reason(edited(made("fp32"), tmp_path / "out", name, np.transpose))
    assert found == f"decoder: {name!r} is the checkpoint's transposed"


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
    assert "not finite" in found
    assert FC2 in found


def test_a_query_whose_bias_lost_its_share_of_the_scale_is_refused(
    made: Made, tmp_path: Path
) -> None:
    name = "decoder.layers.1.encoder_attn.q_proj.bias"
    found = reason(edited(made("fp32"), tmp_path / "out", name, times(24**0.5)))
    assert f"{name!r} is 1 times the checkpoint's" in found


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
    assert unused == f"decoder: {name!r} is used by no node"
    gone = judged(rewritten(made("block"), tmp_path / "gone", "decoder", drop))
    assert gone.reasons == (f"decoder: {name!r} is missing",)
    assert gone.compared == gone.of - 1


def test_many_reasons_are_counted(made: Made, tmp_path: Path) -> None:
    def zero(model: ir.Model) -> None:
        for name, value in model.graph.initializers.items():
            if name.endswith(".bias") and value.const_value is not None:
                array = np.zeros_like(value.const_value.numpy())
                value.const_value = ir.Tensor(array, name=name)

    found = judged(rewritten(made("fp32"), tmp_path / "out", "encoder", zero))
    assert len(found.reasons) == 6
    assert re.fullmatch(r"and \d+ more", found.reasons[-1])


def test_graphs_that_cannot_be_read_are_reasons(made: Made, tmp_path: Path) -> None:
    short = tmp_path / "short"
    shutil.copytree(made("fp32"), short)
    (short / "decoder.onnx.data").write_bytes(b"1234")
    (short / "encoder.onnx").write_bytes(b"no graph")
    found = judged(short)
    assert "encoder: encoder.onnx cannot be read" in found.reasons[0]
    assert re.match("decoder: '.*' cannot be read", found.reasons[1])
    empty = tmp_path / "empty"
    shutil.copytree(made("fp32"), empty)
    (empty / "decoder.onnx").unlink()
    assert "decoder: decoder.onnx cannot be read" in reason(empty)
