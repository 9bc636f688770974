"""The table of DirectML against the real partitioner: what it accepts is placed on the device."""

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
from whisperopt.backends.directml import BACKEND, job
from whisperopt.backends.directml.rehearsal import DirectmlRehearsal, ask

from tests.backends.cuda.test_capabilities import NOT_HELD, SIGNATURES, nodes_of, without
from whisperopt.static_checks.structure import check

PROBE = DirectmlRehearsal().probe()
installed = pytest.mark.skipif(not PROBE.ready, reason=f"{PROBE.reason}. {PROBE.remedy}")


def of_any_size(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let every axis have any length: what is fixed is compiled, and not everything can be here."""
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.HasField("dim_value"):
                dimension.dim_param = f"n{dimension.dim_value}"
    return model


def test_every_operator_of_the_table_is_held_against_it() -> None:
    executed = {op for op, rule in BACKEND.capabilities().ops.items() if not rule.refused}
    assert executed - NOT_HELD <= set(SIGNATURES) | {
        *("DynamicQuantizeLinear", "com.microsoft.DynamicQuantizeMatMul"),  # no type to choose
    }


@installed
def test_what_the_table_accepts_is_placed_on_the_device(tmp_path: Path) -> None:
    model = of_any_size(nodes_of(20))
    report = check(ir.serde.deserialize_model(model), BACKEND.capabilities())
    accepted = without(model, {rejection.node for rejection in report.rejections})
    assert len(accepted.graph.node) > 200
    onnx.save(accepted, tmp_path / "every.onnx")
    device = job.Request(job.DEVICE, (job.DEVICE,))
    replayed = ask([device, job.opening(tmp_path / "every.onnx")], tmp_path)
    (opened,) = replayed.calls
    assert not opened.error
    (nodes,) = replayed.nodes
    assert nodes.provider == "DmlExecutionProvider"
    assert nodes.count >= len(accepted.graph.node)
