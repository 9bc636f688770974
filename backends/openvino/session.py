"""Compiles artifacts with OpenVINO; the self-attention cache is state inside the runtime."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import openvino as ov
from openvino._offline_transformations import apply_make_stateful_transformation

from whisperopt.artifact import Artifact
from whisperopt.backend import Probe
from whisperopt.errors import WhisperoptError
from whisperopt.host import usable_cores

if TYPE_CHECKING:
    from whisperopt.arrays import Floats, Tokens

_DEVICE = "CPU"
_PRECISION = "INFERENCE_PRECISION_HINT"


def probe() -> Probe:
    """Say what OpenVINO's CPU device can compute."""
    core = ov.Core()
    if _DEVICE not in core.available_devices:
        return Probe(runtime="openvino", version=ov.__version__, reason="no CPU device was found")
    facts = {
        "device": str(core.get_property(_DEVICE, "FULL_DEVICE_NAME")),
        "capabilities": " ".join(core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")),
    }
    return Probe(runtime="openvino", version=ov.__version__, facts=facts)


class OpenVinoSession:
    """Encoder and decoder of one artifact; the decoder keeps its cache between steps."""

    max_batch: int | None = None

    def __init__(self, artifact: Artifact, *, threads: int | None) -> None:
        """Compile both graphs for latency on `threads` cores."""
        core = ov.Core()
        # An artifact may come from anywhere: nothing else of its options reaches the runtime.
        precision = artifact.manifest.recipe.options.get(_PRECISION, "f32")
        _check_precision(core, precision)
        config = {
            _PRECISION: precision,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads or usable_cores(),
        }
        self.dims = artifact.manifest.dims
        try:
            decoder = _stateful(core.read_model(artifact.graph("decoder")))
            self.encoder = core.compile_model(artifact.graph("encoder"), _DEVICE, config)
            self.decoder = core.compile_model(decoder, _DEVICE, config)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise WhisperoptError(f"OpenVINO cannot compile {artifact.name}: {reason}") from None
        self._graphs = [artifact.graph(part) for part in ("encoder", "decoder")]

    @property
    def placement(self) -> dict[str, int]:
        """Nodes by device, as OpenVINO plans them; asked for by proofs only, since it takes time."""
        core = ov.Core()
        plans = (core.query_model(core.read_model(graph), _DEVICE) for graph in self._graphs)
        return dict(Counter(device for plan in plans for device in plan.values()))

    def encode(self, features: "Floats") -> "OpenVinoDecoder":
        """Encode float32 [B, mels, frames]; the decoder reads the cross caches in place."""
        request = self.encoder.create_infer_request()
        request.infer({"audio_features": np.ascontiguousarray(features)})
        return OpenVinoDecoder(self, request)


class OpenVinoDecoder:
    """One encoded batch and the state of its decoder."""

    past: int

    def __init__(self, session: OpenVinoSession, encoded: ov.InferRequest) -> None:
        """Hand the encoder's outputs to the decoder without a copy."""
        self._encoded = encoded
        self._request = session.decoder.create_infer_request()
        self._dims = session.dims
        for port in session.encoder.outputs[1:]:
            name = port.get_any_name()
            self._request.set_tensor(name.replace("present", "past", 1), encoded.get_tensor(port))
        self._batch = encoded.get_tensor("hidden_states").shape[0]
        self.reset()

    def reset(self) -> None:
        """Forget all tokens; the encoded audio stays."""
        self.past = 0
        heads, size = self._dims.decoder_kv_heads, self._dims.head_size
        for state in self._request.query_state():
            state.state = ov.Tensor(np.zeros((self._batch, heads, 0, size), np.float32))

    def hidden_states(self) -> "Floats":
        """Return the encoder output float32 [B, frames / 2, D]."""
        return np.array(self._encoded.get_tensor("hidden_states").data, np.float32)

    def step(self, ids: "Tokens") -> "Floats":
        """Append `ids` int32 [B, S]; return logits float32 [B, S, V], valid until the next step."""
        if self.past + ids.shape[1] > self._dims.text_context:
            raise WhisperoptError(f"The decoder holds at most {self._dims.text_context} tokens")
        self._request.set_tensor("input_ids", ov.Tensor(np.ascontiguousarray(ids)))
        self._request.infer()
        self.past += ids.shape[1]
        return np.asarray(self._request.get_tensor("logits").data, np.float32)


def _check_precision(core: ov.Core, precision: str) -> None:
    capable = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and "BF16" not in capable:
        raise WhisperoptError(
            "this CPU computes no bfloat16 (OpenVINO reports " + ", ".join(capable) + ")"
        )


def _stateful(model: ov.Model) -> ov.Model:
    pairs = {}
    for port in model.inputs:
        name = port.get_any_name()
        if "_self_" in name:
            pairs[name] = name.replace("past", "present", 1)
    apply_make_stateful_transformation(model, pairs)
    return model
