"""The table of CUDA against the real partitioner: what it accepts is placed on the GPU."""

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
from onnx import helper
from whisperopt.backends.cuda.placement import CUDA
from whisperopt.backends.cuda.rehearsal import CudaRehearsal, partition

from whisperopt.static_checks.capability import packaged_table
from whisperopt.static_checks.structure import check

PROBE = CudaRehearsal().probe()
installed = pytest.mark.skipif(not PROBE.ready, reason=f"{PROBE.reason}. {PROBE.remedy}")

TYPES = ("FLOAT", "FLOAT16", "BFLOAT16", "INT64", "INT32", "INT8", "UINT8", "BOOL")
HEADS = {"num_heads": 2, "scale": 0.3}
ATTENTION = {**HEADS, "kv_num_heads": 2}
PACKED = {"bits": 8, "block_size": 16}

# Operator: inputs and outputs, where T is the type under test, then attributes.
SIGNATURES: dict[str, tuple[str, str, dict[str, object]]] = {
    "Conv": ("T:1,4,8 T:6,4,3 T:6", "T", {"kernel_shape": [3], "pads": [1, 1]}),
    "MatMul": ("T:2,4 T:4,3", "T", {}),
    "Gemm": ("T:2,4 T:4,3 T:3", "T", {}),
    "LayerNormalization": ("T:2,4 T:4 T:4", "T", {}),
    **dict.fromkeys(("Gelu", "Softmax", "Transpose", "Identity"), ("T:2,4", "T", {})),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Min", "Max"), ("T:2,4 T:2,4", "T", {})),
    **dict.fromkeys(
        ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "And", "Or"),
        ("T:2,4 T:2,4", "BOOL", {}),
    ),
    "Not": ("T:2,4", "BOOL", {}),
    "Clip": ("T:2,4 T: T:", "T", {}),
    "ArgMax": ("T:2,4", "INT64", {}),
    "Reshape": ("T:2,4 INT64:2", "T", {}),
    "Squeeze": ("T:1,4 INT64:1", "T", {}),
    "Unsqueeze": ("T:2,4 INT64:1", "T", {}),
    **dict.fromkeys(("Shape", "Size"), ("T:2,4", "INT64", {})),
    "Gather": ("T:2,4 INT64:3", "T", {}),
    "GatherElements": ("T:2,4 INT32:2,4", "T", {}),
    "Slice": ("T:2,4 INT64:1 INT64:1 INT64:1", "T", {}),
    "Concat": ("T:2,4 T:2,4", "T", {"axis": 0}),
    "Split": ("T:2,4 INT64:2", "T T", {}),
    "Cast": ("T:2,4", "FLOAT", {"to": 1}),
    "Range": ("T: T: T:", "T", {}),
    "Expand": ("T:1,4 INT64:2", "T", {}),
    "Where": ("BOOL:2,4 T:2,4 T:2,4", "T", {}),
    "ScatterElements": ("T:2,4 INT64:1,4 T:1,4", "T", {}),
    "ScatterND": ("T:2,4 INT64:1,1 T:1,4", "T", {}),
    "QuantizeLinear": ("T:2,4 T:", "UINT8", {}),
    "DequantizeLinear": ("UINT8:2,4 T:", "T", {}),
    "MatMulInteger": ("T:2,4 T:4,4", "INT32", {}),
    "com.microsoft.FusedMatMul": ("T:2,4 T:4,3", "T", {}),
    "com.microsoft.Gelu": ("T:2,4", "T", {}),
    **dict.fromkeys(("com.microsoft.BiasGelu", "com.microsoft.FastGelu"), ("T:2,4 T:4", "T", {})),
    "com.microsoft.SkipLayerNormalization": ("T:1,2,4 T:1,2,4 T:4 T:4", "T", {}),
    "com.microsoft.MatMulNBits": (
        "T:2,32 UINT8:8,2,16 T:16",
        "T",
        {"K": 32, "N": 8, **PACKED},
    ),
    "com.microsoft.GatherBlockQuantized": (
        "UINT8:8,32 INT64:2 T:8,2",
        "T",
        {**PACKED, "quantize_axis": 1, "gather_axis": 0},
    ),
    "com.microsoft.GroupQueryAttention": (
        "T:B,S,16 T:B,S,16 T:B,S,16 T:B,2,32,8 T:B,2,32,8 INT32:B INT32:",
        "T T T",
        ATTENTION,
    ),
    "com.microsoft.MultiHeadAttention": ("T:B,S,16 T:B,2,L,8 T:B,2,L,8", "T", HEADS),
    "Attention": (
        "T:B,2,S,8 T:B,2,S,8 T:B,2,S,8 T:S,L T:B,2,P,8 T:B,2,P,8",
        "T T T",
        {"scale": 0.3},
    ),
    "TensorScatter": ("T:1,2,8,4 T:1,2,1,4 INT64:1", "T", {}),
}
NOT_HELD = {"Constant", "ConstantOfShape", "If"}  # they have no operand whose type decides


def nodes_of(opset: int) -> onnx.ModelProto:
    """Return a graph with one node of every operator and type that `opset` can write down."""
    made, inputs, outputs = [], [], []
    for op, (operands, results, attributes) in SIGNATURES.items():
        domain, _, name = op.rpartition(".")
        if not domain and not onnx.defs.has(name, opset, ""):
            continue
        for element in TYPES:
            node = f"{op}/{element}"
            given, emitted = (
                [_value(f"{node}/{way}{i}", word, element) for i, word in enumerate(words.split())]
                for way, words in (("in", operands), ("out", results))
            )
            names = [value.name for value in given], [value.name for value in emitted]
            made.append(helper.make_node(name, *names, name=node, domain=domain, **attributes))
            inputs += given
            outputs += emitted
    body = helper.make_graph(made, "every operator", inputs, outputs)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=10)


def _value(name: str, word: str, element: str) -> onnx.ValueInfoProto:
    given, colon, sizes = word.partition(":")
    dtype = onnx.TensorProto.DataType.Value(element if given == "T" else given)
    shape = [int(size) if size.isdigit() else size for size in sizes.split(",") if size]
    return helper.make_tensor_value_info(name, dtype, shape if colon else None)


def without(model: onnx.ModelProto, names: set[str]) -> onnx.ModelProto:
    """Return the graph less the nodes called `names` and their operands."""
    body = model.graph
    kept = [node for node in body.node if node.name not in names]
    used = {value for node in kept for value in (*node.input, *node.output)}
    graph = helper.make_graph(
        kept,
        body.name,
        [value for value in body.input if value.name in used],
        [value for value in body.output if value.name in used],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=10)


def test_every_operator_of_the_table_is_held_against_it() -> None:
    executed = {op for op, rule in packaged_table("cuda").ops.items() if not rule.refused}
    assert executed - NOT_HELD == set(SIGNATURES)


@installed
@pytest.mark.parametrize("opset", range(17, 25))
def test_what_the_table_accepts_is_placed_on_the_gpu(opset: int, tmp_path: Path) -> None:
    model = nodes_of(opset)
    report = check(ir.serde.deserialize_model(model), packaged_table("cuda"))
    accepted = without(model, {rejection.node for rejection in report.rejections})
    assert len(accepted.graph.node) > 100
    onnx.save(accepted, tmp_path / "graph.onnx")
    placed = partition(tmp_path / "graph.onnx", tmp_path / "scratch")
    assert not isinstance(placed, str), placed
    assert not placed.refused
    elsewhere = [node.name for node in placed.nodes if node.provider != CUDA]
    assert not elsewhere
