"""An io trace: what ONNX Runtime's CPU provider computes for an artifact, call by call, as files.

A runtime that lives elsewhere (another environment, a software device) replays the calls and writes
its own outputs under the same names. Every past that a step is fed comes from the CPU's own
presents: no call depends on another runtime's answer, so an error stays where it was made.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt.artifact import Artifact
from whisperopt.errors import WhisperoptError
from whisperopt.host import usable_cores
from whisperopt.reasons import Reason, because
from whisperopt.runtime import mel, ort_graph, self_test
from whisperopt.runtime.arrays import Floats, Tokens
from whisperopt.runtime.ort_graph import NUMPY, Values, empty_caches, lengths, pasts
from whisperopt.whisper import SAMPLE_RATE, Dimensions

if TYPE_CHECKING:
    import onnxruntime as ort

    from whisperopt.graph.core import Part

STRIDE = 7919
"""A prime: as many tokens as wanted, far from each other."""
_Values: TypeAlias = npt.NDArray[Any]


class Array(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tensor as a file of raw little-endian values; several runs may share a file."""

    name: str
    """What the graph calls it."""
    file: str
    dtype: str
    """As numpy says it, e.g. `float16`."""
    shape: tuple[int, ...]

    def read(self, folder: Path) -> _Values | None:
        """Read the values from `folder`; None if the file is missing or of another size."""
        path = folder / self.file
        size = int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize
        if not path.is_file() or path.stat().st_size != size:
            return None
        return np.fromfile(path, np.dtype(self.dtype).newbyteorder("<")).reshape(self.shape)


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of one graph."""

    graph: str
    """`encoder.onnx` or `decoder.onnx`."""
    label: str
    """E.g. `prefill, batch 2`."""
    feeds: tuple[Array, ...]
    outputs: tuple[Array, ...]
    """What the CPU computed."""
    valid: int | None
    """Slots (axis 2) of `present_*_self_*` that hold tokens; beyond them anything may stand."""


Trace: TypeAlias = tuple[Run, ...]
"""All calls, in the order in which they were made."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How far another runtime's output is off; infinitely if it is missing or not a number."""

    label: str
    output: str
    relative_l2: float
    """|a - b| / |b| over all valid values."""
    odd: Reason | None = None
    """Why the error is infinite, if it is."""


def record(
    artifact: Artifact,
    folder: Path,
    *,
    batches: Iterable[int] = (1, 2),
    steps: int = 2,
    at_once: int = 0,
) -> Trace:
    """Run both graphs on the CPU; write every feed and every output into `folder`.

    For each batch size: the encoder, the whole prompt, then `steps` single tokens, the likeliest
    ones; and from scratch `at_once` tokens in one call. Every row hears a sound of its own. Raises
    `WhisperoptError` if the CPU cannot do it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = _Recorder(artifact, folder)
    dims, prompt = artifact.manifest.dims, artifact.manifest.decoding.prompt(None)
    put = made.encoder.get_inputs()[0]
    for batch in batches:
        made.written.clear()
        sounds = _sounds(dims, batch).astype(NUMPY[put.type])
        encoded = made.call("encoder", f"encoder, batch {batch}", {put.name: sounds})
        cross, empty = pasts(encoded, "_cross_"), empty_caches(made.decoder, batch)
        caches, past, ids = empty, 0, np.array([prompt] * batch, np.int32)
        for step in range(steps + 1):
            label = f"step {step}, batch {batch}" if step else f"prefill, batch {batch}"
            decoded = made.decode(label, ids, past, caches | cross)
            past += ids.shape[1]
            ids = decoded["logits"][:, -1].argmax(-1).astype(np.int32)[:, None]
            caches = pasts(decoded, "_self_")
        if at_once:
            several = np.arange(batch * at_once, dtype=np.int32).reshape(batch, at_once)
            several = several * STRIDE % dims.vocabulary
            made.decode(f"{at_once} at once, batch {batch}", several, 0, empty | cross)
    return tuple(made.runs)


def compare(trace: Trace, folder: Path, outputs: Path) -> tuple[Difference, ...]:
    """Compare what another runtime wrote into `outputs` with the trace in `folder`, in its order.

    The files must have the trace's names, types and shapes. Logits are compared less their mean at
    each position, on which no probability depends.
    """
    return tuple(
        _difference(call, expected, folder, outputs) for call in trace for expected in call.outputs
    )


def within(differences: Iterable[Difference], bar: float) -> Reason | None:
    """Return why `differences` are not all within the relative L2 `bar`, or None."""
    worst = max(differences, key=lambda difference: difference.relative_l2, default=None)
    if worst is None:
        return because("io_trace.nothing")
    if worst.relative_l2 <= bar:
        return None
    place = f"{worst.output} ({worst.label})"
    return worst.odd or because("io_trace.off", place, error=worst.relative_l2, allowed=bar)


def relative_error(found: _Values, wanted: _Values) -> float:
    """Return ||a - b|| / ||b||, infinite for other shapes and for what is no number."""
    if found.shape != wanted.shape:
        return float("inf")
    off = float(np.linalg.norm(found.astype(np.float64) - wanted))
    length = max(float(np.linalg.norm(wanted)), float(np.finfo(np.float64).tiny))
    return off / length if np.isfinite(off) else float("inf")


class _Recorder:
    """Makes the calls, and writes each array once: an output that is fed again keeps its file."""

    def __init__(self, artifact: Artifact, folder: Path) -> None:
        self.folder = folder
        self.runs: list[Run] = []
        self.encoder, self.decoder = _open(artifact, "encoder"), _open(artifact, "decoder")
        self.written: list[tuple[Array, _Values]] = []

    def decode(self, label: str, ids: Tokens, past: int, caches: Values) -> Values:
        length = lengths(self.decoder, past)
        valid = past + ids.shape[1] if length else None
        return self.call("decoder", label, {"input_ids": ids, **caches, **length}, valid)

    def call(self, part: "Part", label: str, feeds: Values, valid: int | None = None) -> Values:
        session = self.encoder if part == "encoder" else self.decoder
        with ort_graph.reasons(f"the CPU cannot run the {part}"):
            outputs = ort_graph.outputs(session, feeds)
        for name, values in outputs.items():
            if valid is not None and "_self_" in name:
                values[:, :, valid:] = 0  # undefined there; it is fed to the next step
        fed, computed = (
            tuple(self.write(name, values) for name, values in arrays.items())
            for arrays in (feeds, outputs)
        )
        made = Run(graph=f"{part}.onnx", label=label, feeds=fed, outputs=computed, valid=valid)
        self.runs.append(made)
        return outputs

    def write(self, name: str, values: _Values) -> Array:
        for array, known in self.written:
            if known is values:
                return msgspec.structs.replace(array, name=name)
        file = f"{len(self.runs):02}-{name}.bin"
        values.astype(values.dtype.newbyteorder("<")).tofile(self.folder / file)
        array = Array(name=name, file=file, dtype=values.dtype.name, shape=values.shape)
        self.written.append((array, values))
        return array


def _open(artifact: Artifact, part: "Part") -> "ort.InferenceSession":
    with ort_graph.reasons(f"the CPU cannot open {artifact.name}"):
        session = ort_graph.on_cpu(artifact.graph(part), threads=usable_cores())
    if odd := {put.type for put in session.get_inputs()} - set(NUMPY):
        raise WhisperoptError(f"numpy has no type for {', '.join(sorted(odd))}")
    return session


def _sounds(dims: Dimensions, batch: int) -> Floats:
    """Make features [batch, mels, frames]: the self-test's sound, then bursts of noise."""
    rows = [self_test.sound(dims)]
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    for seed in range(1, batch):
        noise = np.random.default_rng(seed).standard_normal(time.size)
        bursts = 0.2 * noise * (np.sin(2 * np.pi * (1 + seed) * time) > 0)
        rows.append(mel.log_mel(bursts.astype(np.float32), dims.mels, dims.frames)[None])
    return np.concatenate(rows)


def _difference(call: Run, expected: Array, folder: Path, outputs: Path) -> Difference:
    place = f"{expected.name} ({call.label})"
    wanted, found = expected.read(folder), expected.read(outputs)
    odd, error = None, float("inf")
    if wanted is None or found is None:
        odd = because("io_trace.missing", place)
        if (outputs / expected.file).is_file():
            odd = because("io_trace.shape", place, shape=str(list(expected.shape)))
    else:
        pair = [values.astype(np.float64) for values in (found, wanted)]
        if call.valid is not None and "_self_" in expected.name:
            pair = [values[:, :, : call.valid] for values in pair]
        if expected.name == "logits":
            pair = [values - values.mean(axis=-1, keepdims=True) for values in pair]
        error = relative_error(*pair)
        odd = None if np.isfinite(error) else because("io_trace.not-finite", place)
    return Difference(label=call.label, output=expected.name, relative_l2=error, odd=odd)
