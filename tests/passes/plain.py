"""Runs an artifact with NumPy arrays, through whatever computes a graph."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt.artifact import Artifact
from whisperopt.graph.core import write
from whisperopt.passes.half import widened
from whisperopt.runtime.arrays import Floats, Tokens

Array = npt.NDArray[np.generic]
Compute = Callable[[dict[str, Array]], dict[str, Array]]
"""From all inputs by name to all outputs by name; floats go in and out as float32."""


class Plain:
    """A session whose caches travel in and out with every step."""

    max_batch: int | None = None

    def __init__(self, made: Artifact, opener: Callable[[Path], Compute]) -> None:
        """Open both graphs of `made` with `opener`."""
        self.dims, self.placement = made.manifest.dims, dict[str, int]()
        self.encoder, self.decoder = (opener(made.graph(part)) for part in ("encoder", "decoder"))
        inputs = ir.load(made.graph("decoder")).graph.inputs
        self.grows = "past_sequence_length" not in {value.name for value in inputs}

    def encode(self, features: Floats) -> "PlainDecoder":
        """Encode float32 [B, mels, frames]."""
        return PlainDecoder(self, self.encoder({"audio_features": features}))


class PlainDecoder:
    """One encoded batch and its caches."""

    past: int

    def __init__(self, session: Plain, encoded: dict[str, Array]) -> None:
        """Keep the encoder's outputs."""
        self._session = session
        self._hidden = encoded.pop("hidden_states")
        self._cross = {name.replace("present", "past"): x for name, x in encoded.items()}
        self._self: dict[str, Array] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all tokens."""
        self.past = 0
        dims = self._session.dims
        length = 0 if self._session.grows else dims.text_context
        shape = (len(self._hidden), dims.decoder_kv_heads, length, dims.head_size)
        names = [name.replace("cross", "self") for name in self._cross]
        self._self = {name: np.zeros(shape, np.float32) for name in names}

    def hidden_states(self) -> Floats:
        """Return the encoder output."""
        return np.asarray(self._hidden, np.float32)

    def step(self, ids: Tokens) -> Floats:
        """Append int32 [B, S]; return logits float32 [B, S, V]."""
        feeds = {"input_ids": ids, **self._self, **self._cross}
        if not self._session.grows:
            feeds["past_sequence_length"] = np.array([self.past], np.int32)
        outputs = self._session.decoder(feeds)
        logits = outputs.pop("logits")
        self._self = {name.replace("present", "past"): x for name, x in outputs.items()}
        self.past += ids.shape[1]
        return np.asarray(logits, np.float32)

    def reorder(self, rows: Tokens) -> None:
        """Let row i go on from what row `rows[i]` has seen and heard."""
        self._cross = {name: x[rows] for name, x in self._cross.items()}
        self._self = {name: x[rows] for name, x in self._self.items()}
        self._hidden = self._hidden[rows]


def exact(path: Path) -> Compute:
    """Compile one graph with OpenVINO for the CPU, turned into float32 whatever it is written in.

    A processor that knows bfloat16 would compute such a graph in it, whatever is asked.
    """
    floats = path.with_name(f"exact-{path.name}")
    write(widened(ir.load(path)), floats)
    return openvino(floats)


def openvino(path: Path) -> Compute:
    """Compile one graph with OpenVINO for the CPU, in the precision that it is written in."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(path)
    floats = ov.preprocess.PrePostProcessor(model)
    for index, port in enumerate(model.inputs):
        if port.get_element_type().is_real():
            floats.input(index).tensor().set_element_type(ov.Type.f32)
    for index, port in enumerate(model.outputs):
        if port.get_element_type().is_real():
            floats.output(index).tensor().set_element_type(ov.Type.f32)
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2}
    compiled = core.compile_model(floats.build(), "CPU", options)
    names = [port.get_any_name() for port in compiled.outputs]

    def compute(inputs: dict[str, Array]) -> dict[str, Array]:
        found = compiled({name: np.ascontiguousarray(x) for name, x in inputs.items()})
        return {name: np.array(found[index]) for index, name in enumerate(names)}

    return compute
