import pytest

from whisperopt.runtime.provider import refusal

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def test_arithmetic_of_lengths_may_stay_on_the_cpu() -> None:
    light = ("Shape", "Cast", "Add", "Sub", "Squeeze", "Gather", "Range", "Where", "LessOrEqual")
    assert refusal([("MatMul", CUDA), *((op, CPU) for op in light)]) is None


def test_a_session_whose_nodes_are_unknown_is_not_refused() -> None:
    assert refusal([]) is None


@pytest.mark.parametrize(
    "op",
    [
        *("MatMul", "FusedMatMul", "MatMulNBits", "DynamicQuantizeMatMul", "Gemm", "Conv"),
        *("GroupQueryAttention", "MultiHeadAttention", "Attention", "Softmax", "Gelu", "BiasGelu"),
        *("LayerNormalization", "SkipLayerNormalization", "GatherBlockQuantized"),
        *("DequantizeLinear", "DynamicQuantizeLinear", "com.microsoft.MatMulNBits"),
    ],
)
def test_computation_on_the_cpu_is_refused(op: str) -> None:
    problem = refusal([("MatMul", CUDA), (op, CPU)])
    assert problem == f"1 {op.rpartition('.')[2]} would silently run on the CPU"


def test_the_reason_counts_nodes_by_operator() -> None:
    nodes = [("MatMul", CPU), *[("GroupQueryAttention", CPU)] * 4, ("Cast", CPU)]
    assert refusal(nodes) == "4 GroupQueryAttention, 1 MatMul would silently run on the CPU"


def test_another_device_is_not_the_cpu() -> None:
    assert refusal([("MatMul", CUDA), ("Conv", "TensorrtExecutionProvider")]) is None
