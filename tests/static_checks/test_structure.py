"""The walk: types from author and inference, unknown operators, opsets, subgraphs, the report."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.static_checks.graphs import BACKENDS, graph, held, table
from tests.static_checks.test_capability import write
from whisperopt.static_checks.capability import load_table
from whisperopt.static_checks.structure import check

MATMUL = "y = MatMul(x, w)"


def matmul(t: str) -> ir.Model:
    """Return one MatMul of element type `t`."""
    return graph(f"({t}[B,4] x, {t}[4,3] w) => ({t}[B,3] y)", MATMUL)


@pytest.mark.parametrize("backend", BACKENDS)
def test_plain_float32_arithmetic_is_accepted_everywhere(backend: str) -> None:
    """The report counts nodes by operator."""
    model = graph(
        "(float[B,4] x, float[4,4] w) => (float[B,4] y)",
        "a = MatMul(x, w) b = Add(a, x) y = Add(b, a)",
    )
    report, reasons, _ = held(model, backend)
    assert report.accepted, reasons
    assert report.operators == {"Add": 2, "MatMul": 1}
    assert "all 3 nodes of 2 operators" in str(report.summary())


def test_an_operator_that_the_table_lacks_is_rejected_with_the_runtime_s_reason() -> None:
    """TensorRT has no importers for contributed operators."""
    fused = graph("(float[4] x) => (float[4] y)", "y = com.microsoft.BiasAdd(x)")
    report, reasons, _ = held(fused, "tensorrt")
    assert "TensorRT has no importer for com.microsoft.BiasAdd" in reasons
    assert report.rejections[0].op == "com.microsoft.BiasAdd"
    _, reasons, _ = held(graph("(float[4] x) => (float[4] y)", "y = Erf(x)"), "directml")
    assert "no kernel for Erf" in reasons


def test_the_summary_gives_each_reason_once() -> None:
    """Many layers fail for one reason."""
    model = graph("(bfloat16[4] x) => (bfloat16[4] y)", "a = Softmax(x) y = Softmax(a)")
    report, _, _ = held(model, "cpu")
    assert len(report.rejections) > 1
    assert "Softmax x2: input, output: bfloat16 is not executed" in str(report.summary())


def test_types_behind_contributed_operators_come_from_their_author() -> None:
    """ONNX cannot infer through them, so an undeclared output makes its readers unknown."""
    signature = "(float16[B,S,16] q) => (float16[B,S,16] y)"
    attend = "a = com.microsoft.MultiHeadAttention<num_heads=2>(q, q, q)"
    model = graph(signature, f"{attend} b = Add(a, q) y = Add(b, q)")
    _, reasons, _ = held(model, "cuda")
    assert "output: type unknown" in reasons
    declared = model.graph.node(0).outputs[0]
    declared.type, declared.shape = ir.TensorType(ir.DataType.FLOAT16), ir.Shape(["B", "S", 16])
    report, reasons, _ = held(model, "cuda")
    assert report.accepted, reasons


@pytest.mark.parametrize(
    ("weight", "node"),
    [
        (
            "uint8[16,1,16] w, float[16] s",
            "MatMulNBits<K=16, N=16, bits=8, block_size=16>(x, w, s)",
        ),
        ("int8[16,16] w, float s", "DynamicQuantizeMatMul(x, w, s)"),
        (
            "uint8[5,8] w, float[5,1] s, int64[B,S] i",
            "GatherBlockQuantized<bits=4, block_size=16, quantize_axis=1>(w, i, s)",
        ),
        ("float w", "Gelu(x)"),
    ],
)
def test_packed_weights_and_activations_are_inferred(weight: str, node: str) -> None:
    """Their passes declare nothing, yet what reads them needs types and ranks."""
    model = graph(
        f"(float[B,S,16] x, {weight}) => (float[B,S,16] y)",
        f"a = com.microsoft.{node} y = com.microsoft.MultiHeadAttention<num_heads=2>(a, a, a)",
    )
    report, reasons, _ = held(model, "directml" if "Gather" not in node else "cpu")
    assert report.accepted, reasons


def test_the_graph_stays_as_it_is_and_big_weights_are_never_read() -> None:
    """Inference runs on a copy that holds no weights."""

    def fail() -> ir.TensorProtocol:
        raise AssertionError

    big = ir.LazyTensor(
        fail, dtype=ir.DataType.FLOAT, shape=ir.Shape([100_000, 100_000]), name="w"
    )
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["B", 100_000]))
    weight = ir.Value(name="w", const_value=big)
    node = ir.Node("", "MatMul", [x, weight])
    inner = ir.Graph(
        [x], node.outputs, nodes=[node], initializers=[weight], opset_imports={"": 20}
    )
    node.outputs[0].name = "y"
    node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    model = ir.Model(inner, ir_version=10)
    assert check(model, table("cpu")).accepted
    assert weight.shape is None
    assert weight.const_value is big
    assert list(model.graph.inputs) == [x]


def test_small_constants_decide_shapes() -> None:
    """A Reshape's target is read, so that ranks behind it are known."""
    model = graph("(float[B,S,16] x) => (float[B,S,2,8] y)", "y = Reshape(x, shape)")
    shape = ir.Value(name="shape", const_value=ir.tensor(np.array([0, 0, 2, 8], np.int64)))
    node = model.graph.node(0)
    node.replace_input_with(1, shape)
    shape.name = "shape"
    model.graph.register_initializer(shape)
    assert held(model, "cpu")[0].accepted


def test_float16_on_the_cpu_is_accepted_with_a_condition() -> None:
    """There is no kernel, but ONNX Runtime casts."""
    report, reasons, conditions = held(matmul("float16"), "cpu")
    assert report.accepted, reasons
    assert conditions == "MatMul: float16 is computed in float32, through casts"
    assert held(matmul("float16"), "cuda")[0].conditions == ()


def test_bfloat16_matmul_is_rejected_on_the_cpu_and_taken_by_cuda() -> None:
    """The reason names the operand, its type and what would be taken."""
    _, reasons, _ = held(matmul("bfloat16"), "cpu")
    assert "A, B, Y: bfloat16 is not executed, only float32 or" in reasons
    assert held(matmul("bfloat16"), "cuda")[0].accepted
    assert not held(matmul("bfloat16"), "directml")[0].accepted


def test_a_newer_opset_than_the_runtime_s_is_rejected() -> None:
    """DirectML's kernels end at opset 20."""
    body = "(float[2,4] x) => (float[4,2] y)", "y = Transpose(x)"
    assert held(graph(*body), "directml")[0].accepted
    report, reasons, _ = held(graph(*body, opset=21), "directml")
    assert reasons == "opset 21 is newer than 20, the newest that is executed"
    assert report.rejections[0].node == "the whole graph"
    assert held(graph(*body, opset=21), "cuda")[0].accepted


def test_a_version_without_a_kernel_is_rejected() -> None:
    """An open-ended kernel does not fit the operator's next version."""
    scatter = (
        "(float[4,4] x, int64[1,1] i, float[1,4] u) => (float[4,4] y)",
        "y = ScatterND(x, i, u)",
    )
    assert "version 18 has no kernel, only 13, 16" in held(graph(*scatter), "directml")[1]
    assert held(graph(*scatter, opset=17), "directml")[0].accepted
    assert held(graph(*scatter), "openvino")[0].accepted


def test_an_operator_that_the_opset_lacks_is_rejected() -> None:
    """Gelu came with opset 20."""
    model = graph("(float[4] x) => (float[4] y)", "y = Gelu(x)", opset=19)
    assert "the graph's opset does not define Gelu" in held(model, "cpu")[1]


def test_types_that_onnx_does_not_define_are_rejected_everywhere() -> None:
    """OpenVINO would convert a graph that no other runtime loads."""
    model = graph("(bool[4] x) => (bool[4] y)", "y = Softmax(x)")
    assert "bool is not defined for it by ONNX" in held(model, "openvino")[1]


def test_subgraphs_are_walked() -> None:
    """A branch may hold what the runtime lacks."""
    branches = (
        "y = If (c) <then_branch = a () => (float[4] p) { p = Erf(x) },"
        " else_branch = b () => (float[4] r) { r = Identity(x) }>"
    )
    report, reasons, _ = held(graph("(bool c, float[4] x) => (float[4] y)", branches), "directml")
    assert report.operators == {"If": 1, "Erf": 1, "Identity": 1}
    assert "no kernel for Erf" in reasons
    assert len(report.rejections) == 1


def test_conditions_are_listed_once() -> None:
    """Thirty layers ask for the same thing."""
    model = graph("(float16[4,4] x) => (float16[4,4] y)", "a = MatMul(x, x) y = MatMul(a, x)")
    assert len(held(model, "cpu")[0].conditions) == 1


def test_the_report_names_the_oldest_runtime_that_executes_every_node(tmp_path: Path) -> None:
    """The newest operator decides, compared as versions and not as text."""
    versions = {"Add": "1.9", "Neg": "1.23"}
    lines = [f'{op} = {{ dtypes = ["float32"], since = "{v}" }}' for op, v in versions.items()]
    model = graph("(float[4] x) => (float[4] y)", "a = Add(x, x) y = Neg(a)")
    found = check(model, load_table(write(tmp_path, "\n".join(lines))))
    assert found.accepted
    assert found.since == "1.23"


def test_an_operator_that_the_runtime_gave_up_is_rejected(tmp_path: Path) -> None:
    """The table describes a version after the last one that executed it."""
    model = graph("(float[4] x) => (float[4] y)", "y = Neg(x)")
    found = check(
        model, load_table(write(tmp_path, 'Neg = { dtypes = ["float32"], until = "0.9" }'))
    )
    assert "R executed it until 0.9 only" in str(found.summary())
