"""What the table, the session and the ladder of DirectML let through."""

import pytest
from msgspec.structs import replace
from whisperopt.backends.directml import BACKEND

from tests.backends.directml.variants import ODD, RUNGS
from tests.makers import SMALL
from tests.passes import forms
from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import PARTS, CoreModel
from whisperopt.passes.plan import make
from whisperopt.runtime.ort import CPU, OrtSession
from whisperopt.static_checks import structure


def refused(recipe: Recipe, core: CoreModel) -> str:
    """Return what the table has against both graphs, or nothing."""
    reports = (
        structure.check(make(recipe, core, part), BACKEND.capabilities(), part=part)
        for part in PARTS
    )
    return "; ".join(str(report.summary()) for report in reports if not report.accepted)


@pytest.mark.parametrize("recipe", RUNGS.values(), ids=RUNGS)
def test_the_table_takes_every_rung_at_opset_20(recipe: Recipe, small_core: CoreModel) -> None:
    assert not refused(recipe, small_core)
    opsets = {make(recipe, small_core, part).opset_imports[""] for part in PARTS}
    assert opsets == {20}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mha-cross", "'key' has rank 4, it must be 3: cached 4-D keys and values fail"),
        ("mha-unmasked", "attribute 'unidirectional' is 1, only 0 is executed"),
        ("attention", "opset 23 is newer than 20"),
        ("standard-gelu-fp32", "com.microsoft.Gelu has a kernel for both"),
        ("bf16", "bfloat16 is not executed"),
    ],
)
def test_sabotage_is_caught_with_the_right_reason(
    name: str, reason: str, small_core: CoreModel
) -> None:
    assert reason in refused(ODD[name], small_core)


def test_a_mask_is_spelled_out_for_every_row_and_head(small_core: CoreModel) -> None:
    model = make(RUNGS["mha-fp16"], small_core, "decoder")
    found = [node for node in model.graph if node.op_type == "MultiHeadAttention"]
    assert len(found) == SMALL.decoder_layers
    assert all("unidirectional" not in node.attributes for node in found)
    assert {node.inputs[5].producer().op_type for node in found} == {"Expand"}


def test_gqa_needs_one_buffer_and_the_whole_prompt(small_core: CoreModel) -> None:
    model = make(RUNGS["gqa-fp16"], small_core, "decoder")
    report = structure.check(model, BACKEND.capabilities(), part="decoder")
    conditions = " ".join(report.conditions)
    assert "past and present must be bound to one buffer" in conditions
    assert "never prefill in chunks" in conditions
    assert report.since == "1.19"


def test_a_chunked_prefill_is_refused_before_it_is_computed(
    small_checkpoint: Checkpoint, tmp_path
) -> None:
    artifact = forms.write(small_checkpoint, RUNGS["gqa-fp16"], tmp_path)
    provider = replace(CPU, chunked_prefill=BACKEND.provider.chunked_prefill)
    decoder = OrtSession(artifact, provider, threads=1).encode(forms.speech_like(SMALL, batch=1))
    tokens = forms.random_tokens(SMALL, batch=1, length=5)
    decoder.step(tokens[:, :2])
    with pytest.raises(WhisperoptError, match="3 tokens behind 2 others"):
        decoder.step(tokens[:, 2:])
    decoder.step(tokens[:, 2:3])


@pytest.mark.parametrize("name", ["mha-fp16", "decomposed-fp32"])
def test_lesser_rungs_are_tried_only_in_need(name: str) -> None:
    names = list(RUNGS)
    assert RUNGS[name].stands_in_for == tuple(names[: names.index(name)])


def test_every_adapter_has_a_rung_without_attention_kernels() -> None:
    plain = RUNGS["decomposed-fp16"]
    assert not plain.stands_in_for
    assert plain.form[:4] == ("decomposed", "decomposed", "decomposed", "static")
