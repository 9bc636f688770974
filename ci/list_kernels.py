"""Prints what the installed ONNX Runtime's CPU provider executes: operator, version, types.

    python ci/list_kernels.py MatMul com.microsoft.GroupQueryAttention

Without names: every operator of `backends/cpu/capabilities.toml`.
"""

import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import onnx

TABLE = Path(__file__).parent.parent / "backends" / "cpu" / "capabilities.toml"
OPSETS = range(17, 27)
_OPEN = 2**31 - 1


def versions(op: str) -> list[int]:
    """Return the versions of `op` that graphs of `OPSETS` can mean."""
    if "." in op:
        return [1]
    defined = (opset for opset in OPSETS if onnx.defs.has(op, opset, ""))
    return sorted({onnx.defs.get_schema(op, opset, "").since_version for opset in defined})


def types(op: str, version: int) -> dict[str, list[str]]:
    """Return the element types by type variable of the kernels that fit `version` of `op`."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def

    domain, _, name = op.rpartition(".")
    found: dict[str, set[str]] = defaultdict(set)
    for kernel in get_all_opkernel_def():
        first, last = kernel.version_range
        # a kernel without an end stands for the version that it starts with, and no other
        fits = first <= version <= last if last != _OPEN else first == version
        if (kernel.op_name, kernel.domain) == (name, domain) and fits:
            for variable, elements in kernel.type_constraints.items():
                found[variable].update(elements)
    return {variable: sorted(elements) for variable, elements in found.items()}


def main() -> None:
    """Print one line per operator and version."""
    import onnxruntime

    names = sys.argv[1:] or sorted(tomllib.loads(TABLE.read_text("utf-8"))["ops"])
    sys.stdout.write(f"onnxruntime {onnxruntime.__version__}\n")
    for op in names:
        for version in versions(op):
            kernels = types(op, version)
            listed = "; ".join(f"{key}: {' '.join(of)}" for key, of in kernels.items())
            sys.stdout.write(f"{op} {version} {listed or 'no kernel'}\n")


if __name__ == "__main__":
    main()
