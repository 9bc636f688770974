"""The one session for every ONNX Runtime provider: caches stay on the device, steps copy only ids."""

import ctypes
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from whisperopt.artifact import Artifact
from whisperopt.errors import WhisperoptError
from whisperopt.reasons import because
from whisperopt.runtime import limits, ort_graph
from whisperopt.runtime.ort_graph import Rows, Stored, element
from whisperopt.runtime.provider import Provider, refusal

if TYPE_CHECKING:
    import onnxruntime as ort

    from whisperopt.runtime.arrays import Floats, Spans, Tokens

CPU = Provider(name="CPUExecutionProvider", device="cpu")
_LARGEST_CHUNK = {"any": math.inf, "one": 1, "none": 0}


class OrtSession:
    """Encoder and decoder of one artifact on one provider."""

    def __init__(
        self,
        artifact: Artifact,
        provider: Provider,
        *,
        threads: int | None,
        profile: Path | None = None,
    ) -> None:
        """Open both graphs; raise `WhisperoptError` if the provider is not the one asked for.

        On a device, a part that computes on the CPU is an error too. ONNX Runtime writes the times
        of operators to a folder `profile`.
        """
        recipe = artifact.manifest.recipe
        self.provider = provider
        self.in_host_memory = provider.device == CPU.device
        self.max_batch = provider.max_batch
        self.dims = artifact.manifest.dims
        self.cache = recipe.cache
        self.spans = recipe.audio_tail is not None

        def opened(part: Literal["encoder", "decoder"]) -> "ort.InferenceSession":
            session = ort_graph.start(
                artifact.graph(part),
                provider,
                threads=threads,
                name=f"the {part} of {artifact.name}",
                profile=profile and profile / part,
            )
            if provider.name != CPU.name and (problem := refusal(ort_graph.nodes(session))):
                reason = because("runtime.refused", artifact.name, part=part, why=problem)
                raise WhisperoptError(reason)
            return session

        if self.in_host_memory:
            with ThreadPoolExecutor(1) as aside:
                decoder = aside.submit(opened, "decoder")
                self.encoder = opened("encoder")
            self.decoder = decoder.result()
        else:  # not every provider bears two openings at a time
            self.encoder, self.decoder = opened("encoder"), opened("decoder")
        optional = {put.name for put in self.decoder.get_overridable_initializers()}
        self.last_logits = "logits_from" in optional
        kind, other = self.encoder.get_inputs()[0].type, self.decoder.get_outputs()[0].type
        if kind != other:
            reason = because("runtime.types", artifact.name, encoder=kind, decoder=other)
            raise WhisperoptError(reason)
        self.element = element(kind)
        self.rows = Rows(provider, self.element, threads=threads)
        chunk = provider.chunked_prefill if recipe.self_attention == "gqa" else "any"
        self.largest_chunk = _LARGEST_CHUNK[chunk]
        self.stepwise = provider.stepwise and recipe.self_attention != "decomposed"

    @property
    def placement(self) -> dict[str, int]:
        """Number of nodes by provider; empty where ONNX Runtime is too old to tell."""
        both = [*ort_graph.nodes(self.encoder), *ort_graph.nodes(self.decoder)]
        return dict(Counter(provider for _, provider in both))

    def encode(self, features: "Floats", spans: "Spans | None" = None) -> "OrtDecoder":
        """Encode float32 [B, mels, 2 L]; the cross caches stay on the device."""
        import onnxruntime as ort

        limits.check_batch(features.shape[0], self.max_batch)
        with ort_graph.reasons("ONNX Runtime failed to encode"):
            stored = self.element.store(features)
            binding = self.encoder.io_binding()
            binding.bind_ortvalue_input("audio_features", self.element.value(stored))
            if self.spans:
                heard = limits.checked_spans(spans, features)
                # not `bind_cpu_input`: it knows no inputs that need not be given
                binding.bind_ortvalue_input("audio_spans", ort.OrtValue.ortvalue_from_numpy(heard))
            names = [output.name for output in self.encoder.get_outputs()]
            for name in names:
                binding.bind_output(name, self.provider.device, self.provider.memory)
            self.encoder.run_with_iobinding(binding)
            return OrtDecoder(self, dict(zip(names, binding.get_outputs(), strict=True)))


class OrtDecoder:
    """One encoded batch; self caches are `shared`, `static` or `concat` as the recipe says."""

    past: int

    def __init__(self, session: OrtSession, encoded: dict[str, "ort.OrtValue"]) -> None:
        """Keep the encoder's outputs on the device and allocate the self caches."""
        self._session = session
        self._hidden = encoded.pop("hidden_states")
        self._batch = int(self._hidden.shape()[0])
        self._heard = np.arange(self._batch, dtype=np.int32)
        """Which of the encoded recordings each row listens to."""
        self._binding = session.decoder.io_binding()
        self._cross = encoded
        self._bind_past(encoded)
        self._presents = [o.name for o in session.decoder.get_outputs()[1:]]
        self._buffers: list[dict[str, ort.OrtValue]] = []
        """What holds the past, and what else there is to write the present to."""
        self._shared: dict[str, ort.OrtValue] | None = None
        """The buffer that is bound as past and present, and stays so from step to step."""
        self._given: dict[str, npt.NDArray[np.integer]] = {}
        """What every step is told, in the very memory that is bound."""
        self._logits: Stored = np.empty(0, session.element.stored)
        self.reset()

    def reset(self) -> None:
        """Forget all tokens; the encoded audio stays."""
        self.past = 0
        grows = self._session.cache == "concat"
        if grows or not self._buffers:
            length = 0 if grows else self._session.dims.text_context
            count = 2 if self._session.cache == "static" else 1
            self._buffers = [self._allocate(length) for _ in range(count)]

    def hidden_states(self) -> "Floats":
        """Return the encoder output float32 [B, frames / 2, D]."""
        return self._session.element.load(self._session.rows.read(self._hidden, self._heard))

    def step(self, ids: "Tokens") -> "Floats":
        """Append `ids` int32 [B, S]; return logits float32 [B, S, V], valid until the next step."""
        return self._step(ids, 0)

    def step_last(self, ids: "Tokens") -> "Floats":
        """Append `ids` int32 [B, S]; return the last one's logits float32 [B, V] as `step` does."""
        return self._step(ids, ids.shape[-1] - 1 if self._session.last_logits else 0)[:, -1]

    def _step(self, ids: "Tokens", first: int) -> "Floats":
        """Append `ids`, one by one if it must be; return the logits of them from the `first` on."""
        limits.check_ids(ids, self._batch)
        if not self._session.stepwise:
            return self._run(ids, first)
        columns = np.split(ids, ids.shape[1], axis=1)
        # each run may write where the last one's logits lie
        return np.concatenate([self._run(c, 0).copy() for c in columns], axis=1)[:, first:]

    def _run(self, ids: "Tokens", first: int) -> "Floats":
        session, new = self._session, ids.shape[1]
        limits.check_room(self.past, new, session.dims.text_context)
        if self.past and new > 1 and self._batch > session.largest_chunk:
            why = "this provider's GroupQueryAttention does not compute that correctly"
            found = because("runtime.chunk", new=new, past=self.past, batch=self._batch, why=why)
            raise WhisperoptError(found)
        with ort_graph.reasons("ONNX Runtime failed to decode"):
            self._give("input_ids", ids)
            if session.cache != "concat":
                self._give("past_sequence_length", np.array([self.past], np.int32))
            if session.last_logits:
                self._give("logits_from", np.array([first], np.int64))
            self._bind_logits((self._batch, new - first))
            self._bind_caches()
            session.decoder.run_with_iobinding(self._binding)
        if session.cache == "concat":
            presents = self._binding.get_outputs()[1:]
            self._buffers = [dict(zip(self._presents, presents, strict=True))]
        elif session.cache == "static":
            self._buffers.reverse()
        self.past += new
        return session.element.load(self._logits)

    def reorder(self, rows: "Tokens") -> None:
        """Let row i go on from what row `rows[i]`, int32 [B], has seen and heard."""
        rows = limits.checked_rows(rows, self._batch)
        heard = self._heard[rows]
        if self.past and (rows != np.arange(self._batch)).any():
            self._reorder_seen(rows)
        if (heard != self._heard).any():  # not so within a beam: its rows hear the same
            pick = self._session.rows.pick
            self._cross = {name: pick(value, rows) for name, value in self._cross.items()}
            self._bind_past(self._cross)
            self._heard = heard

    def _reorder_seen(self, rows: npt.NDArray[np.int32]) -> None:
        session, seen = self._session, self._buffers[0]
        if session.cache == "concat":
            self._buffers = [{name: session.rows.pick(v, rows) for name, v in seen.items()}]
            return
        if session.in_host_memory:
            for value in seen.values():
                _reorder_in_place(value, rows, self.past, session.element.stored)
            return
        if len(self._buffers) == 1:
            self._buffers.append(self._allocate(session.dims.text_context))
        for name, value in seen.items():
            session.rows.pick(value, rows, into=self._buffers[1][name])
        self._buffers.reverse()

    def _give(self, name: str, values: npt.NDArray[np.integer]) -> None:
        """Set a small input: on the CPU by writing to what is bound, else by another copy."""
        bound = self._given.get(name)
        if bound is not None and bound.shape == values.shape and self._session.in_host_memory:
            bound[:] = values
            return
        import onnxruntime as ort

        self._given[name] = np.array(values)
        # not `bind_cpu_input`: it knows no inputs that need not be given
        value = ort.OrtValue.ortvalue_from_numpy(self._given[name])
        self._binding.bind_ortvalue_input(name, value)

    def _bind_logits(self, ids_shape: Sequence[int]) -> None:
        shape = (*ids_shape, self._session.dims.vocabulary)
        if self._logits.shape == shape:
            return
        self._logits = np.empty(shape, self._session.element.stored)
        self._binding.bind_ortvalue_output("logits", self._session.element.value(self._logits))

    def _bind_caches(self) -> None:
        past, cache = self._buffers[0], self._session.cache
        if past is self._shared:
            return
        self._bind_past(past)
        if cache == "concat":
            provider = self._session.provider
            for name in self._presents:
                self._binding.bind_output(name, provider.device, provider.memory)
            return
        for name, value in (past if cache == "shared" else self._buffers[1]).items():
            self._binding.bind_ortvalue_output(name, value)
        self._shared = past if cache == "shared" else None

    def _bind_past(self, values: dict[str, "ort.OrtValue"]) -> None:
        for name, value in values.items():
            self._binding.bind_ortvalue_input(name.replace("present", "past", 1), value)

    def _allocate(self, length: int) -> dict[str, "ort.OrtValue"]:
        dims = self._session.dims
        shape = (self._batch, dims.decoder_kv_heads, length, dims.head_size)
        session, element = self._session, self._session.element
        if session.provider.allocates:
            provider = session.provider
            return {name: ort_graph.zeros(shape, element, provider) for name in self._presents}
        host = ort_graph.zeros(shape, element, CPU)
        rows = np.arange(self._batch, dtype=np.int32)
        return {name: session.rows.pick(host, rows) for name in self._presents}


def _reorder_in_place(
    value: "ort.OrtValue", rows: "Tokens", length: int, stored: type[np.generic]
) -> None:
    """Reorder the first `length` slots of a cache [B, H, C, Dh] in the CPU's memory."""
    shape = value.shape()
    size = math.prod(shape) * np.dtype(stored).itemsize
    memory = (ctypes.c_char * size).from_address(value.data_ptr())
    cache = np.frombuffer(memory, stored).reshape(shape)
    cache[:, :, :length] = cache[rows, :, :length]
