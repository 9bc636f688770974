"""The real partitioner of ONNX Runtime for CUDA, where its rehearsal is installed."""

import os
from pathlib import Path

import onnx_ir as ir
import pytest
from whisperopt.backends.cuda.placement import CPU, CUDA, Outline, judge
from whisperopt.backends.cuda.recipes import RECIPES
from whisperopt.backends.cuda.rehearsal import CudaRehearsal, partition

from tests.passes import forms
from tests.passes.forms import form
from tests.static_checks.graphs import graph
from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.process import Failure, ask_script
from whisperopt.rehearsal import Rehearsed, home, python, rehearse
from whisperopt.static_checks import structure
from whisperopt.static_checks.capability import packaged_table

PROBE = CudaRehearsal().probe()
pytestmark = pytest.mark.skipif(not PROBE.ready, reason=f"{PROBE.reason}. {PROBE.remedy}")

BOTH = ("gqa-fp16", "decomposed-fp16")
"""The rung that is taken, and the one that stands in for it."""
RUN = """
import json, sys
import numpy, onnxruntime
graph, cuda = json.load(sys.stdin)["graph"], ["CUDAExecutionProvider"]
try:
    session = onnxruntime.InferenceSession(graph, providers=cuda, enable_fallback=0)
    session.run(None, {"x": numpy.ones((4, 4), numpy.float32)})
    why_not = None
except Exception as error:
    why_not = str(error)
print(json.dumps({"why_not": why_not}))
"""


def rehearsed(checkpoint: Checkpoint, recipe: Recipe, folder: Path) -> Rehearsed:
    """Write one variant and let the partitioner place it."""
    (found,) = rehearse(
        forms.write(checkpoint, recipe, folder / "made"), [CudaRehearsal()], folder
    )
    return found


def saved(model: ir.Model, folder: Path) -> Path:
    """Write `model` and return where."""
    path = folder / "graph.onnx"
    ir.save(model, path)
    return path


def reasons(model: ir.Model, folder: Path) -> tuple[str, ...]:
    """Place one graph and judge it."""
    placed = partition(saved(model, folder), folder / "scratch")
    assert not isinstance(placed, Failure), placed
    return judge(placed, Outline.of(model))


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(r, marks=() if r.name in BOTH else pytest.mark.soak, id=r.name)
        for r in RECIPES
    ],
)
def test_every_rung_runs_on_the_gpu_but_for_its_lengths(
    recipe: Recipe, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    found = rehearsed(small_checkpoint, recipe, tmp_path)
    assert found.passed, found.reason
    assert "1 copied to the device" in found.facts["decoder"]
    for part in ("encoder", "decoder"):
        model = ir.load(tmp_path / "made" / f"{part}.onnx")
        report = structure.check(model, packaged_table("cuda"), part=part)
        assert report.accepted, report.summary()


def test_single_precision_gqa_is_caught(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    found = rehearsed(small_checkpoint, form(name="gqa-fp32", cache="shared"), tmp_path)
    assert found.passed is False
    assert "GroupQueryAttention has no fp32 kernel on CUDA: it lands on the CPU 2 times" in (
        found.reason
    )


def test_operators_that_cuda_lacks_are_caught(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    recipe = form(
        name="dynamic-int8", encoder_precision="int8", decoder_precision="fp16", int8="dynamic"
    )
    found = rehearsed(small_checkpoint, recipe, tmp_path)
    assert found.passed is False
    assert "encoder: DynamicQuantizeMatMul has no fp32 kernel on CUDA" in found.reason


def test_a_mask_that_is_made_on_the_cpu_in_every_step_is_caught(tmp_path: Path) -> None:
    """ONNX Runtime follows a length to the CPU with all that hangs on it, and copies the lot."""
    model = graph(
        "(int32[B,S] ids, float16[B,64] scores) => (float16[B,64] y)",
        """
        new = Shape<start=1>(ids)
        ages = Add(new, slots)
        short = Cast<to=10>(ages)
        y = Add(scores, short)
        """,
    )
    slots = ir.tensor(list(range(64)), ir.DataType.INT64, name="slots")
    value = next(node.inputs[1] for node in model.graph if node.op_type == "Add")
    assert value is not None
    value.const_value, value.type = slots, ir.TensorType(ir.DataType.INT64)
    value.shape = ir.Shape([64])
    model.graph.register_initializer(value)
    for node in model.graph:
        node.name = node.outputs[0].name
    found = " ".join(reasons(model, tmp_path))
    assert "Add is more than lengths: it lands on the CPU once, with 1 copies" in found


def test_a_cache_that_passes_through_the_cpu_is_caught(tmp_path: Path) -> None:
    model = graph(
        "(float[1,4,448,64] past) => (float[1,4,448,64] y)",
        "new = Neg(past) odd = Celu(new) y = Add(new, odd)",
    )
    (reason,) = reasons(model, tmp_path)
    assert reason == (
        "Celu has no fp32 kernel on CUDA: it lands on the CPU once, with 2 copies in every run"
    )


def test_what_cannot_be_opened_is_refused_in_one_line(tmp_path: Path) -> None:
    model = graph("(float[4,4] x) => (float[4,4] y)", "y = com.microsoft.NoSuchThing(x)")
    (reason,) = reasons(model, tmp_path)
    assert reason.startswith("ONNX Runtime refuses it: ")
    assert "NoSuchThing" in reason
    assert "\n" not in reason


def test_without_the_stub_libraries_the_session_is_silently_the_cpu_s(tmp_path: Path) -> None:
    path = saved(graph("(float[4,4] x) => (float[4,4] y)", "y = MatMul(x, x)"), tmp_path)
    script = Path(__file__).parents[3] / "backends" / "cuda" / "partition.py"
    (tmp_path / "scratch").mkdir()
    request = {"graph": str(path), "provider": CUDA, "scratch": str(tmp_path / "scratch")}
    command, environment = [python("cuda"), script], {"LD_LIBRARY_PATH": ""}
    answer = ask_script(dict, command, request, limit=60, environment=environment)
    assert isinstance(answer, dict)
    assert answer["providers"] == [CPU]


def why_not(body: str, folder: Path, environment: dict[str, str]) -> str | None:
    """Return why a graph does not run over the stub libraries, or None if it does."""
    path = saved(graph("(float[4,4] x) => (float[4,4] y)", body), folder)
    answer = ask_script(
        dict,
        [python("cuda"), "-c", RUN],
        {"graph": str(path)},
        limit=60,
        environment={"LD_LIBRARY_PATH": str(home("cuda") / "stubs"), **environment},
    )
    assert isinstance(answer, dict), answer
    reason: str | None = answer["why_not"]
    return reason


@pytest.mark.parametrize("body", ["y = MatMul(x, x)", "y = Add(x, x)", "y = Softmax(x)"])
def test_nothing_can_be_run_over_the_stub_libraries(body: str, tmp_path: Path) -> None:
    told = {"WHISPEROPT_STUB_DEVICE": "1"}
    assert "the CUDA stubs of whisperopt compute nothing" in (why_not(body, tmp_path, told) or "")


def test_the_stub_libraries_report_no_device_to_anybody_else(tmp_path: Path) -> None:
    assert "WHISPEROPT_STUB_DEVICE" not in os.environ
    assert "CUDA failure 100" in (why_not("y = MatMul(x, x)", tmp_path, {}) or "")
