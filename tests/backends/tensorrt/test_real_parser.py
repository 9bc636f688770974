"""The real parser and builder of TensorRT for RTX: our ladder, and sabotage."""

from pathlib import Path

import onnx_ir as ir
import pytest
from whisperopt.backends.tensorrt import BACKEND
from whisperopt.backends.tensorrt.recipes import DEVICE, RTX
from whisperopt.backends.tensorrt.rehearsal import TensorRtRehearsal, compile_graph, operators
from whisperopt.backends.tensorrt.verdict import Tried, judge

from tests.backends.tensorrt.variants import ODD, RUNGS
from tests.makers import SMALL
from tests.passes import forms
from whisperopt.artifact import Artifact
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import PARTS, Part
from whisperopt.rehearsal import rehearse
from whisperopt.static_checks import structure

PROBE = TensorRtRehearsal().probe()
pytestmark = pytest.mark.skipif(not PROBE.ready, reason=f"{PROBE.reason}. {PROBE.remedy}")
GPUS = ("8.6",)


def against(artifact: Artifact, part: Part, *, plug_ins: bool = False) -> str:
    """Return what real parser and builder have against one graph."""
    graph = artifact.graph(part)
    answer = compile_graph(graph, SMALL, plug_ins=plug_ins, capabilities=GPUS)
    return "; ".join(judge([Tried(part, answer, operators(graph))], plug_ins=plug_ins))


@pytest.mark.parametrize("name", [*RUNGS, *ODD])
def test_table_and_real_parser_agree(
    name: str, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    recipe = {**RUNGS, **ODD}[name]
    artifact = forms.write(small_checkpoint, recipe, tmp_path)
    plug_ins = recipe.options.get(DEVICE) == RTX
    for part in PARTS:
        report = structure.check(ir.load(artifact.graph(part)), BACKEND.capabilities(), part=part)
        refused = against(artifact, part, plug_ins=plug_ins)
        assert report.accepted == (not refused), (part, report.summary(), refused)


@pytest.mark.parametrize(
    ("name", "part", "reason"),
    [
        ("attention-past", "decoder", "TensorRT parses no Attention with a past"),
        ("attention-fp32", "encoder", "no fused kernel fits an Attention"),
        ("mha-fp16", "decoder", "TensorRT has no MultiHeadAttention with a past"),
        ("gqa-fp16", "decoder", "TensorRT has no GroupQueryAttention, it is a plug-in"),
        ("int8", "encoder", "TensorRT has no MatMulNBits"),
    ],
)
def test_sabotage_is_caught_with_the_right_reason(
    name: str, part: Part, reason: str, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    artifact = forms.write(small_checkpoint, {**RUNGS, **ODD}[name], tmp_path)
    assert reason in against(artifact, part)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [("rank", "total_sequence_length of rank 0"), ("scale", "needs an explicit scale")],
)
def test_a_broken_group_query_attention_is_caught_with_plug_ins(
    broken: str, reason: str, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    artifact = forms.write(small_checkpoint, RUNGS["gqa-fp16"], tmp_path)
    model = ir.load(artifact.graph("decoder"))
    for node in list(model.graph):
        if broken == "rank" and node.name == "total_sequence_length":
            assert node.inputs[0] is not None
            node.outputs[0].replace_all_uses_with(node.inputs[0])
        if broken == "scale" and node.op_type == "GroupQueryAttention":
            del node.attributes["scale"]
    ir.save(model, artifact.graph("decoder"), external_data="broken.data")
    assert reason in against(artifact, "decoder", plug_ins=True)


@pytest.mark.soak
def test_a_whole_variant_is_rehearsed_for_every_gpu(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    artifact = forms.write(small_checkpoint, RUNGS["decomposed-fp16"], tmp_path / "built")
    (answer,) = rehearse(artifact, [TensorRtRehearsal()], tmp_path)
    assert answer.passed, answer.reason
    assert "for sm75, sm80, sm86, sm89, sm120" in answer.reason
    assert "sm120" in answer.facts["decoder"]
