"""The largest activations of a graph in fp32: half precision overflows above 65504."""

import math
from pathlib import Path

import numpy as np
import onnx_ir as ir

from whisperopt.errors import WhisperoptError
from whisperopt.evaluate.evidence import Range
from whisperopt.graph.canvas import lazy, typed
from whisperopt.graph.core import PARTS
from whisperopt.graph.files import write
from whisperopt.graph.inference import inferred
from whisperopt.passes.rewrite import canvas_for
from whisperopt.reasons import because
from whisperopt.runtime import ort_graph
from whisperopt.runtime.arrays import Floats


def write_twin(shipped: Path, folder: Path) -> None:
    """Write the graphs in `shipped` again in fp32, with the peak of every value as an output.

    It is made from the very graphs that ship, whoever wrote them.
    """
    folder.mkdir()
    for part in PARTS:
        write(_watched(widened(ir.load(shipped / f"{part}.onnx"))), folder / f"{part}.onnx")


def largest_activation(folder: Path, inputs: list[tuple[Floats, list[int]]]) -> Range:
    """Run a twin on features [1, mels, frames] and tokens; return its largest absolute value.

    The graph that ships cannot tell: ONNX Runtime's CPU provider computes fp16 graphs in fp32.
    """
    peaks: dict[str, float] = {}
    for features, tokens in inputs:
        for node, peak in _run(folder, features, tokens).items():
            if not math.isfinite(peak):
                raise WhisperoptError(because("evaluate.range", node))
            peaks[node] = max(peak, peaks.get(node, 0.0))
    node = max(peaks, key=lambda name: peaks[name])
    return Range(value=peaks[node], node=node)


_PEAK = "peak/"
_FLOAT = ir.DataType.FLOAT
_HALF = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


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


def _run(folder: Path, features: Floats, tokens: list[int]) -> dict[str, float]:
    encoder, decoder = (ort_graph.on_cpu(folder / f"{part}.onnx") for part in PARTS)
    encoded = ort_graph.outputs(encoder, {encoder.get_inputs()[0].name: features})
    cross, empty = ort_graph.pasts(encoded, "_cross_"), ort_graph.empty_caches(decoder)
    feeds = {"input_ids": np.array([tokens], np.int32), **ort_graph.lengths(decoder, 0)}
    return {
        name.removeprefix(_PEAK): float(value)
        for name, value in (encoded | ort_graph.outputs(decoder, feeds | cross | empty)).items()
        if name.startswith(_PEAK)
    }
