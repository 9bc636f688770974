"""Compiles artifacts with OpenVINO; the self-attention cache is state inside the runtime."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import openvino as ov
from openvino._offline_transformations import apply_make_stateful_transformation

from whisperopt.artifact import Artifact
from whisperopt.backend import Probe
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.host import usable_cores
from whisperopt.runtime import limits

from .recipes import PRECISION

if TYPE_CHECKING:
    from whisperopt.runtime.arrays import Floats, Spans, Tokens

_DEVICE = "CPU"
_LENGTH = "past_sequence_length"
_PREAMBLE = re.compile(
    r"Exception from |Check '|While validating |FrontEnd API failed|Model wasn't fully converted"
    r"|Failed operations detailed log|Summary:|-- (.* )?with a message:$"
)


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

    def __init__(self, artifact: Artifact, *, threads: int | None, profile: bool = False) -> None:
        """Compile both graphs for latency on `threads` cores, with times of nodes to `profile`."""
        core = ov.Core()
        recipe = artifact.manifest.recipe
        # An artifact may come from anywhere: nothing else of its options reaches the runtime.
        precision = recipe.options.get(PRECISION, "f32")
        _check_precision(core, precision)
        config = {
            PRECISION: precision,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads or usable_cores(),
            # a thread that may not leave a core waits there for whoever else computes on it
            "ENABLE_CPU_PINNING": False,
        }
        self.profile = profile
        self.operators: dict[str, dict[str, tuple[int, float]]] = {"encoder": {}, "decoder": {}}
        """Kind of node -> how many ran, and milliseconds in all, of each part with `profile`."""
        if profile:
            config["PERF_COUNT"] = True
        elif artifact.prepared:
            config["CACHE_DIR"] = str(artifact.prepared)
        self.spans = recipe.audio_tail is not None
        self.text_context = artifact.manifest.dims.text_context
        # others give empty tensors without an error where the batch is dynamic
        self.max_batch: int | None = 1 if recipe.self_attention == "gqa" else None
        with _reasons(f"OpenVINO cannot compile {artifact.name}"):
            with ThreadPoolExecutor(1) as aside:
                graph = artifact.graph("encoder")
                encoder = aside.submit(core.compile_model, graph, _DEVICE, config)
                decoder = _stateful(core.read_model(artifact.graph("decoder")))
                self.decoder = core.compile_model(decoder, _DEVICE, config)
            self.encoder = encoder.result()
        self._graphs = [artifact.graph(part) for part in ("encoder", "decoder")]

    @property
    def placement(self) -> dict[str, int]:
        """Nodes by device, as OpenVINO plans them; asked for by proofs only, since it takes time."""
        core = ov.Core()
        plans = (core.query_model(core.read_model(graph), _DEVICE) for graph in self._graphs)
        return dict(Counter(device for plan in plans for device in plan.values()))

    def encode(self, features: "Floats", spans: "Spans | None" = None) -> "OpenVinoDecoder":
        """Encode float32 [B, mels, 2 L]; the decoder reads the cross caches in place."""
        batch = features.shape[0]
        if self.max_batch is not None and batch > self.max_batch:
            raise BadInputError(
                f"OpenVINO's GroupQueryAttention computes batches of one only, this is {batch}",
                "Encode the recordings one after another, or choose a variant with another attention",
            )
        with _reasons("OpenVINO failed to encode"):
            request = self.encoder.create_infer_request()
            request.set_tensor("audio_features", ov.Tensor(np.ascontiguousarray(features)))
            if self.spans:
                heard = limits.checked_spans(spans, features)
                request.set_tensor("audio_spans", ov.Tensor(heard))
            self.infer("encoder", request)
            return OpenVinoDecoder(self, request)

    def infer(self, part: str, request: ov.InferRequest) -> None:
        """Infer, and add up what was executed if that is asked for."""
        request.infer()
        for node in request.get_profiling_info() if self.profile else ():
            if node.status == node.Status.EXECUTED:
                count, spent = self.operators[part].get(node.node_type, (0, 0.0))
                milliseconds = node.real_time.total_seconds() * 1e3
                self.operators[part][node.node_type] = count + 1, spent + milliseconds


class OpenVinoDecoder:
    """One encoded batch and the state of its decoder."""

    past: int

    def __init__(self, session: OpenVinoSession, encoded: ov.InferRequest) -> None:
        """Hand the encoder's outputs to the decoder without a copy."""
        self._session = session
        self._request = session.decoder.create_infer_request()
        self._heard: dict[str, ov.Tensor] = {}
        """What was made of the audio: the encoder's output, and the cross caches."""
        for port in session.encoder.outputs:
            name = port.get_any_name().replace("present", "past", 1)
            self._heard[name] = encoded.get_tensor(port)
        self._hidden = self._heard.pop("hidden_states")
        self._batch = self._hidden.shape[0]
        self._inputs = {port.get_any_name() for port in session.decoder.inputs}
        self._empty = {
            state.name: (self._batch, *state.state.shape[1:])  # a length that may grow is 0
            for state in self._request.query_state()
        }
        self._listen()
        self.reset()

    def reset(self) -> None:
        """Forget all tokens; the encoded audio stays."""
        self.past = 0
        for state in self._request.query_state():
            state.state = ov.Tensor(np.zeros(self._empty[state.name], np.float32))

    def hidden_states(self) -> "Floats":
        """Return the encoder output float32 [B, frames / 2, D]."""
        return np.array(self._hidden.data, np.float32)

    def step(self, ids: "Tokens") -> "Floats":
        """Append `ids` int32 [B, S]; return logits float32 [B, S, V], valid until the next step."""
        limits.check_ids(ids, self._batch)
        limits.check_room(self.past, ids.shape[1], self._session.text_context)
        with _reasons("OpenVINO failed to decode"):
            self._request.set_tensor("input_ids", ov.Tensor(np.ascontiguousarray(ids)))
            if _LENGTH in self._inputs:  # a cache of fixed length cannot tell how full it is
                self._request.set_tensor(_LENGTH, ov.Tensor(np.array([self.past], np.int32)))
            self._session.infer("decoder", self._request)
        self.past += ids.shape[1]
        return np.asarray(self._request.get_tensor("logits").data, np.float32)

    def reorder(self, rows: "Tokens") -> None:
        """Let row i go on from what row `rows[i]`, int32 [B], has seen and heard."""
        rows = limits.checked_rows(rows, self._batch)
        if (rows == np.arange(self._batch)).all():
            return
        if self.past:
            for state in self._request.query_state():
                state.state = _picked(state.state, rows)
        self._hidden = _picked(self._hidden, rows)
        self._heard = {name: _picked(value, rows) for name, value in self._heard.items()}
        self._listen()

    def _listen(self) -> None:
        for name, value in self._heard.items():
            self._request.set_tensor(name, value)


@contextmanager
def _reasons(what: str) -> Iterator[None]:
    """Turn OpenVINO's own errors into a sentence that starts with `what`."""
    try:
        yield
    except RuntimeError as error:
        raise WhisperoptError(f"{what}: {reason(error)}") from None


def reason(error: BaseException | str) -> str:
    """Return the one line that says why; where in OpenVINO's source it arose is left out."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = next((line for line in lines if not _PREAMBLE.match(line)), "".join(lines[:1]))
    return found.removeprefix("-- ").rstrip(".") or "no reason is given"


def _picked(tensor: ov.Tensor, rows: "Tokens") -> ov.Tensor:
    return ov.Tensor(np.ascontiguousarray(tensor.data[rows]))


def _check_precision(core: ov.Core, precision: str) -> None:
    capable = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and "BF16" not in capable:
        raise WhisperoptError(
            "this CPU computes no bfloat16 (OpenVINO reports " + ", ".join(capable) + ")"
        )


def _stateful(model: ov.Model) -> ov.Model:
    """Keep every cache that the graph both takes and gives inside the runtime."""
    presents = {port.get_any_name() for port in model.outputs}
    pairs = {}
    for port in model.inputs:
        past = port.get_any_name()
        present = past.replace("past", "present", 1)
        if past != present and present in presents:
            pairs[past] = present
    apply_make_stateful_transformation(model, pairs)
    return model
