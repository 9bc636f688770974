"""The fp32 twin of a graph in half precision, which tells the peak of every value."""

from pathlib import Path

import numpy as np
import onnx_ir as ir

from whisperopt.graph.canvas import lazy, typed
from whisperopt.graph.core import PARTS
from whisperopt.graph.files import write
from whisperopt.graph.inference import inferred
from whisperopt.passes.rewrite import canvas_for

_PEAK = "peak/"
_FLOAT = ir.DataType.FLOAT
_HALF = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def write_twin(shipped: Path, folder: Path) -> None:
    """Write the graphs in `shipped` again in fp32, with the peak of every value as an output.

    It is made from the very graphs that ship, whoever wrote them.
    """
    folder.mkdir()
    for part in PARTS:
        write(_watched(widened(ir.load(shipped / f"{part}.onnx"))), folder / f"{part}.onnx")


def widened(model: ir.Model) -> ir.Model:
    """Turn all half precision into float32: weights, constants, casts and declared types."""
    for value in model.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype in _HALF:
            value.const_value = _as_float(value.const_value)
    for node in model.graph:
        for attribute in list(node.attributes.values()):
            if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in _HALF:
                wide = _as_float(attribute.as_tensor())
                node.attributes.add(ir.AttrTensor(attribute.name, wide))
        if node.op_type == "Cast" and node.attributes["to"].as_int() in _HALF:
            node.attributes.add(ir.AttrInt64("to", int(_FLOAT)))
    graph = model.graph
    outputs = [output for node in graph for output in node.outputs]
    for value in [*graph.inputs, *graph.initializers.values(), *outputs]:
        if value.dtype in _HALF:
            value.type = ir.TensorType(_FLOAT)
    return model


def _as_float(tensor: ir.TensorProtocol) -> ir.LazyTensor:
    shape = tensor.shape.numpy()
    return lazy(tensor.name or "", shape, lambda: tensor.numpy().astype(np.float32), _FLOAT)


def _watched(model: ir.Model) -> ir.Model:
    """Add one scalar output `peak/<node>` with max|x| for every float output of every node."""
    model = inferred(model)
    canvas = canvas_for(model, _PEAK)
    for node in model.graph:
        if node.outputs[0].dtype is ir.DataType.FLOAT:
            peak = canvas.op("ReduceMax", canvas.op("Abs", node.outputs[0]), keepdims=0)
            peak.name = f"{_PEAK}{node.name}"
            model.graph.outputs.append(typed(peak, ir.DataType.FLOAT, []))
    model.graph.extend(canvas.nodes)
    return model
