"""The one session for every ONNX Runtime provider: caches stay on the device, steps copy only ids."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from whisperopt.artifact import Artifact
from whisperopt.errors import WhisperoptError
from whisperopt.host import usable_cores
from whisperopt.runtime.provider import Provider

if TYPE_CHECKING:
    import onnxruntime as ort

    from whisperopt.arrays import Floats, Tokens

CPU = Provider(name="CPUExecutionProvider", device="cpu")
_NUMPY = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"


class OrtSession:
    """Encoder and decoder of one artifact on one provider."""

    max_batch: int | None = None

    def __init__(self, artifact: Artifact, provider: Provider, *, threads: int | None) -> None:
        """Open both graphs; raise `WhisperoptError` if the provider is not the one asked for."""
        self.provider = provider
        self.dims = artifact.manifest.dims
        self.cache = artifact.manifest.recipe.cache
        self.encoder = _open(artifact, "encoder", provider, threads)
        self.decoder = _open(artifact, "decoder", provider, threads)
        self.dtype = _NUMPY[self.encoder.get_inputs()[0].type]
        self.placement = _placement((self.encoder, self.decoder))

    def encode(self, features: "Floats") -> "OrtDecoder":
        """Encode float32 [B, mels, frames]; the cross caches stay on the device."""
        binding = self.encoder.io_binding()
        binding.bind_cpu_input("audio_features", np.ascontiguousarray(features, self.dtype))
        for output in self.encoder.get_outputs():
            binding.bind_output(output.name, self.provider.device, 0)
        self.encoder.run_with_iobinding(binding)
        names = [output.name for output in self.encoder.get_outputs()]
        return OrtDecoder(self, dict(zip(names, binding.get_outputs(), strict=True)))


class OrtDecoder:
    """One encoded batch; self caches are `shared`, `static` or `concat` as the recipe says."""

    past: int

    def __init__(self, session: OrtSession, encoded: dict[str, "ort.OrtValue"]) -> None:
        """Keep the encoder's outputs on the device and allocate the self caches."""
        self._session = session
        self._hidden = encoded.pop("hidden_states")
        self._batch = int(self._hidden.shape()[0])
        self._binding = session.decoder.io_binding()
        for name, value in encoded.items():
            self._binding.bind_ortvalue_input(name.replace("present", "past", 1), value)
        self._presents = [o.name for o in session.decoder.get_outputs()[1:]]
        self._buffers: list[dict[str, ort.OrtValue]] = []
        self._length = np.zeros(1, np.int32)
        self._logits = np.empty(0, session.dtype)
        self.reset()

    def reset(self) -> None:
        """Forget all tokens; the encoded audio stays."""
        self.past = 0
        match self._session.cache:
            case "shared":
                self._buffers = self._buffers or [self._allocate(self._session.dims.text_context)]
                self._bind_past(self._buffers[0])
                self._bind_present(self._buffers[0])
            case "static":
                capacity = self._session.dims.text_context
                self._buffers = self._buffers or [self._allocate(capacity) for _ in range(2)]
            case "concat":
                self._buffers = [self._allocate(0)]

    def hidden_states(self) -> "Floats":
        """Return the encoder output float32 [B, frames / 2, D]."""
        return np.asarray(self._hidden.numpy(), np.float32)

    def step(self, ids: "Tokens") -> "Floats":
        """Append `ids` int32 [B, S]; return logits float32 [B, S, V], valid until the next step."""
        session, binding = self._session, self._binding
        if self.past + ids.shape[1] > session.dims.text_context:
            raise WhisperoptError(f"The decoder holds at most {session.dims.text_context} tokens")
        self._length[0] = self.past
        binding.bind_cpu_input("input_ids", np.ascontiguousarray(ids))
        if session.cache != "concat":
            binding.bind_cpu_input("past_sequence_length", self._length)
        self._bind_logits(ids.shape)
        self._bind_caches()
        session.decoder.run_with_iobinding(binding)
        if session.cache == "concat":
            presents = binding.get_outputs()[1:]
            self._buffers = [dict(zip(self._presents, presents, strict=True))]
        elif session.cache == "static":
            self._buffers.reverse()
        self.past += ids.shape[1]
        return self._logits.astype(np.float32, copy=False)

    def _bind_logits(self, ids_shape: Sequence[int]) -> None:
        shape = (*ids_shape, self._session.dims.vocabulary)
        if self._logits.shape != shape:
            self._logits = np.empty(shape, self._session.dtype)
        self._binding.bind_output(
            "logits", "cpu", 0, self._session.dtype, shape, self._logits.ctypes.data
        )

    def _bind_caches(self) -> None:
        if self._session.cache == "static":
            self._bind_past(self._buffers[0])
            self._bind_present(self._buffers[1])
        elif self._session.cache == "concat":
            self._bind_past(self._buffers[0])
            for name in self._presents:
                self._binding.bind_output(name, self._session.provider.device, 0)

    def _bind_past(self, values: dict[str, "ort.OrtValue"]) -> None:
        for name, value in values.items():
            self._binding.bind_ortvalue_input(name.replace("present", "past", 1), value)

    def _bind_present(self, values: dict[str, "ort.OrtValue"]) -> None:
        for name, value in values.items():
            self._binding.bind_ortvalue_output(name, value)

    def _allocate(self, length: int) -> dict[str, "ort.OrtValue"]:
        import onnxruntime as ort

        session = self._session
        shape = (self._batch, session.dims.decoder_kv_heads, length, session.dims.head_size)
        # One array each: on the CPU, ONNX Runtime keeps using the memory that it is handed.
        return {
            name: ort.OrtValue.ortvalue_from_numpy(
                np.zeros(shape, session.dtype), session.provider.device, 0
            )
            for name in self._presents
        }


def _open(
    artifact: Artifact,
    part: Literal["encoder", "decoder"],
    provider: Provider,
    threads: int | None,
) -> "ort.InferenceSession":
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or usable_cores()
    options.add_session_config_entry(_RECORD_PLACEMENT, "1")
    if provider.sequential:
        options.enable_mem_pattern = False
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    try:
        session = ort.InferenceSession(
            artifact.graph(part),
            options,
            providers=[(provider.name, dict(provider.options))],
            enable_fallback=0,
        )
    except Exception as error:  # noqa: BLE001  # the runtime's own exceptions have no common class
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WhisperoptError(f"ONNX Runtime cannot open {artifact.name}: {reason}") from None
    if session.get_providers()[0] != provider.name:
        raise WhisperoptError(
            f"{provider.name} did not load and ONNX Runtime fell back to the CPU",
            "`whisperopt doctor` says what is missing",
        )
    return session


def _placement(sessions: Sequence["ort.InferenceSession"]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for session in sessions:
        report: Any = getattr(session, "get_provider_graph_assignment_info", None)
        for group in report() if report else ():
            counts[group.ep_name] += len(group.get_nodes())
    return dict(counts)
