"""Whether ONNX Runtime left on the CPU what a device was asked to compute."""

import re
from collections import Counter
from collections.abc import Iterable

CPU = "CPUExecutionProvider"
_COMPUTES = re.compile(
    r"MatMul|Gemm|Einsum|Conv|Attention|Softmax|Normalization|LayerNorm|Gelu|Erf"
    r"|[Qq]uantizeLinear|GatherBlockQuantized|TensorScatter"
)
"""Parts of the names of operators that do a model's work; fused forms keep them in theirs."""


def refusal(nodes: Iterable[tuple[str, str]]) -> str | None:
    """Return why a session on a device is unacceptable, given operator and provider of all nodes.

    None if the CPU is left with arithmetic of shapes and lengths only.
    """
    left = Counter(
        op.rpartition(".")[2] for op, provider in nodes if provider == CPU and _COMPUTES.search(op)
    )
    if not left:
        return None
    listed = ", ".join(f"{count} {op}" for op, count in left.most_common())
    return f"{listed} would silently run on the CPU"
