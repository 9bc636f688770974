"""Alters the graphs of an artifact on disk; weights that are not touched stay where they are."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.graph.core import PARTS, Part

Array = npt.NDArray[Any]


class InapplicableError(Exception):
    """This artifact has nothing that could be sabotaged in this way."""


@contextlib.contextmanager
def graph(folder: Path, part: Part) -> Iterator[ir.Model]:
    """Open one graph and write back what is changed in it; its external data is not rewritten."""
    path = folder / f"{part}.onnx"
    model = ir.load(path)
    yield model
    ir.save(model, path)


def alter(folder: Path, name: str, change: Callable[[Array], Array]) -> None:
    """Replace the tensor `name` by what `change` makes of a copy of it: same shape, same type."""
    for part in PARTS:
        model = ir.load(folder / f"{part}.onnx")
        value = model.graph.initializers.get(name)
        if value is None or value.const_value is None:
            continue
        tensor = value.const_value
        before = tensor.numpy()
        after = np.ascontiguousarray(change(before.copy())).astype(before.dtype)
        assert after.shape == before.shape, name
        if isinstance(tensor, ir.ExternalTensor):
            _overwrite(folder / tensor.location, tensor.offset or 0, after)
        else:
            value.const_value = ir.Tensor(after, dtype=tensor.dtype, name=name)
            ir.save(model, folder / f"{part}.onnx")
        return
    raise InapplicableError(f"no tensor {name}")


def has(folder: Path, name: str) -> bool:
    """Say whether either graph holds the tensor `name`."""
    return any(name in ir.load(folder / f"{part}.onnx").graph.initializers for part in PARTS)


def after(value: ir.Value, op_type: str, constant: Array) -> ir.Value:
    """Put `op_type(value, constant)` behind `value`, for everybody who reads it; return it."""
    readers = [(use.node, use.idx) for use in value.uses()]
    changed = _drawn(value, op_type, constant)
    for reader, place in readers:
        reader.replace_input_with(place, changed)
    graph = _graph_of(value)
    for place, output in enumerate(graph.outputs):
        if output is value:
            value.name, changed.name = f"{value.name}_before", value.name
            graph.outputs[place] = changed
    return changed


def before(reader: ir.Node, place: int, op_type: str, constant: Array) -> None:
    """Put `op_type(value, constant)` before one input of one node only."""
    value = reader.inputs[place]
    assert value is not None
    reader.replace_input_with(place, _drawn(value, op_type, constant))


def node(model: ir.Model, op_type: str, reads: str = "") -> ir.Node:
    """Return the first node of an operator, that reads the value `reads` if that is given."""
    for one in model.graph:
        if one.op_type == op_type and (
            not reads or any(x and x.name == reads for x in one.inputs)
        ):
            return one
    raise InapplicableError(f"no {op_type} {reads}".rstrip())


def floats(model: ir.Model) -> np.dtype[Any]:
    """Return the type that the graph computes in."""
    norm = next(one for one in model.graph if one.op_type == "LayerNormalization")
    weight = norm.inputs[1]
    assert weight is not None
    assert weight.dtype is not None
    return weight.dtype.numpy()


def head_size(folder: Path) -> int:
    """Return how many channels one head of the decoder has."""
    inputs = ir.load(folder / "decoder.onnx").graph.inputs
    shape = next(value.shape for value in inputs if value.name == "past_key_self_0")
    assert shape is not None
    return shape.numpy()[3] if shape.is_static() else int(str(shape[3]))


def _drawn(value: ir.Value, op_type: str, constant: Array) -> ir.Value:
    """Draw one node right behind what makes `value`; nobody reads it yet."""
    graph = _graph_of(value)
    name = f"sabotage/{len(graph)}"
    other = ir.Value(
        name=f"{name}/constant",
        type=ir.TensorType(ir.DataType.from_numpy(constant.dtype)),
        shape=ir.Shape(constant.shape),
        const_value=ir.Tensor(constant, name=f"{name}/constant"),
    )
    graph.register_initializer(other)
    made = ir.node(op_type, [value, other], name=name)
    (output,) = made.outputs
    output.name, output.type, output.shape = f"{name}/output", value.type, value.shape
    maker = value.producer()
    if maker is None:
        graph.insert_before(graph[0], made)
    else:
        graph.insert_after(maker, made)
    return output


def _graph_of(value: ir.Value) -> ir.Graph:
    maker = value.producer()
    found = maker.graph if maker is not None else value.graph
    assert isinstance(found, ir.Graph)
    return found


def _overwrite(path: Path, offset: int, array: Array) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(array.tobytes())
