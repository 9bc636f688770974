"""Capability tables: what loads, what is refused, and that the packaged ones are sound."""

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.static_checks.graphs import BACKENDS, ROOT, table
from whisperopt.errors import BadInputError
from whisperopt.static_checks.capability import Operator, load_table
from whisperopt.static_checks.operands import CONTRIBUTED

HEAD = """
schema = "1.0"
runtime = "R"
version = "1"
max_opset = 20
missing = "no {op}"
source = "here"
[groups]
floats = ["float32", "float16"]
[ops]
"""

STANDARD = """
Conv Gelu Transpose Add Sub Mul Div MatMul Gemm LayerNormalization Softmax Reshape Squeeze
Unsqueeze Shape Size Gather GatherElements Slice Concat Split Cast Range Expand Where Less
LessOrEqual Greater GreaterOrEqual Equal And Or Not Min Max Clip Constant ConstantOfShape
Identity ScatterElements ScatterND ArgMax DequantizeLinear QuantizeLinear
DynamicQuantizeLinear MatMulInteger Attention TensorScatter
"""
CONTRIBUTED_OPS = """
GroupQueryAttention MultiHeadAttention MatMulNBits GatherBlockQuantized
DynamicQuantizeMatMul FusedMatMul
"""


def write(folder: Path, ops: str) -> Path:
    """Write a table with the operators `ops`."""
    path = folder / "capabilities.toml"
    path.write_text(HEAD + ops, "utf-8")
    return path


def test_groups_stand_for_their_types(tmp_path: Path) -> None:
    """A group's name expands, next to plain types."""
    loaded = load_table(write(tmp_path, 'Add = { dtypes = ["floats", "int32"] }'))
    assert loaded.ops["Add"].dtypes == ("float32", "float16", "int32")


@pytest.mark.parametrize(
    ("ops", "named"),
    [
        ('Add = { dtypes = ["flaot32"] }', "'flaot32'"),
        ('Add = { dtypes = ["floats"], since = "new" }', "'new' is no version"),
        ('Add = { dtypes = ["floats"], dtype = 1 }', "dtype"),
        ('Add = { dtypes = ["floats"], constraints = [{ rule = "rnak" }] }', "'rnak'"),
        (
            'Add = { dtypes = ["floats"], constraints = [{ rule = "rank", operands = [] }] }',
            "'equals'",
        ),
        (
            'Add = { refused = "no", constraints = [{ rule = "constant_inputs", axes = 1 }] }',
            "'axes'",
        ),
        ("Add = { }", "`refused`"),
        ('Add = { dtypes = ["floats"], refused = "no" }', "`refused`"),
        ('Add = { dtypes = "floats" }', "dtypes"),
    ],
)
def test_an_unknown_word_is_an_error_that_names_it(tmp_path: Path, ops: str, named: str) -> None:
    """The error names the operator's table, the file and the word."""
    path = write(tmp_path, ops)
    with pytest.raises(BadInputError) as caught:
        load_table(path)
    assert "[ops.Add]" in caught.value.problem
    assert named in caught.value.problem
    assert str(path) in caught.value.problem


def test_an_unknown_key_of_the_table_is_an_error(tmp_path: Path) -> None:
    """Top-level keys are closed, too."""
    path = tmp_path / "capabilities.toml"
    path.write_text('speed = "high"' + HEAD, "utf-8")
    with pytest.raises(BadInputError, match="speed"):
        load_table(path)


def test_a_missing_or_broken_file_is_bad_input(tmp_path: Path) -> None:
    """No traceback for a path that is wrong or not TOML."""
    with pytest.raises(BadInputError, match="Cannot read"):
        load_table(tmp_path / "none.toml")
    with pytest.raises(BadInputError, match="not valid TOML"):
        load_table(write(tmp_path, "Add = "))


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_emitted_operator_is_in_every_table(backend: str) -> None:
    """Executed or refused with a reason, but never forgotten."""
    emitted = {*STANDARD.split(), *(f"com.microsoft.{op}" for op in CONTRIBUTED_OPS.split())}
    assert sorted(emitted - set(table(backend).ops)) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_tables_name_operands_as_the_operators_do(backend: str) -> None:
    """A misspelt operand would never be checked."""
    for op, operator in table(backend).ops.items():
        assert sorted(set(named_operands(operator)) - operand_names(op)) == [], op


def test_the_cpu_table_agrees_with_the_installed_kernels() -> None:
    """Every type that the table promises is one that a kernel of the wheel takes."""
    installed = metadata.version("onnxruntime")
    if not installed.startswith("1.32."):
        pytest.skip(f"the table describes onnxruntime 1.32, {installed} is installed")
    kernels = registered()
    for op, operator in table("cpu").ops.items():
        if op in {"Constant", "If"}:  # neither runs as a kernel over its tensors
            continue
        single = {name for types in operator.operands.values() for name in types}
        fixed = {"float32"} if op == "DynamicQuantizeLinear" else set()
        assert sorted(set(operator.dtypes) - kernels[op] - fixed) == [], op
        # operands of a fixed type stand in no kernel's list of type variables
        assert sorted(single - kernels[op] - {"int64", "int32", "bool", "float32"}) == [], op
        assert not set(operator.through_casts) & kernels[op], op


def named_operands(operator: Operator) -> Iterator[str]:
    """Yield every operand that a table's entry names."""
    yield from operator.operands
    for constraint in operator.constraints:
        for key, value in constraint.parameters.items():
            if key in {"operands", "inputs", "outputs"}:
                yield from value
            elif key in {"operand", "mask", "query", "when", "cache", "present"}:
                yield value


def operand_names(op: str) -> set[str]:
    """Return the names that the operator gives its operands."""
    if "." in op:
        return {name for names in CONTRIBUTED[op.rpartition(".")[2]] for name in names}
    schema = onnx.defs.get_schema(op, 26, "")
    return {formal.name for formal in (*schema.inputs, *schema.outputs)}


def registered() -> dict[str, set[str]]:
    """Return the element types of all CPU kernels by operator, in any of their variables."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def

    found: dict[str, set[str]] = {}
    names: dict[str, str] = {"float": "float32"}
    kernel: Any
    for kernel in get_all_opkernel_def():
        op = f"{kernel.domain}.{kernel.op_name}" if kernel.domain else kernel.op_name
        types = found.setdefault(op, set())
        for elements in kernel.type_constraints.values():
            inner = (element.removeprefix("tensor(")[:-1] for element in elements)
            types.update(names.get(name, name) for name in inner)
    return found


def test_packaged_paths_are_one_per_backend() -> None:
    """Every backend's folder carries its table under the same name."""
    found = {path.parent.name for path in (ROOT / "backends").glob("*/capabilities.toml")}
    assert found >= set(BACKENDS)
