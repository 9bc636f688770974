"""The largest activations of a graph in fp32: half precision overflows above 65504."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whisperopt.errors import WhisperoptError
from whisperopt.evaluate.evidence import Range
from whisperopt.reasons import because
from whisperopt.runtime import ort_graph
from whisperopt.runtime.arrays import Floats

if TYPE_CHECKING:
    import onnxruntime as ort


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
"""What the outputs of a twin are called that tell a peak; `passes.twin` writes it."""


def _run(folder: Path, features: Floats, tokens: list[int]) -> dict[str, float]:
    encoded = _outputs(folder / "encoder.onnx", lambda _put: features)

    def feed(put: "ort.NodeArg") -> object:
        if "_cross_" in put.name:
            return encoded[put.name.replace("past", "present", 1)]
        if "_self_" in put.name:
            shape = [size if isinstance(size, int) else 0 for size in put.shape]
            return np.zeros([1, *shape[1:]], np.float32)
        if put.name == "input_ids":
            return np.array([tokens], np.int32)
        return np.zeros(1, np.int32)

    return {
        name.removeprefix(_PEAK): float(value)
        for name, value in (encoded | _outputs(folder / "decoder.onnx", feed)).items()
        if name.startswith(_PEAK)
    }


def _outputs(path: Path, feed: Callable[["ort.NodeArg"], object]) -> dict[str, Any]:
    session = ort_graph.on_cpu(path)
    feeds = {put.name: feed(put) for put in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))
