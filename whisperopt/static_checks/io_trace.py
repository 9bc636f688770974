"""A tape: what ONNX Runtime's CPU provider computes for an artifact, call by call, as plain files.

A runtime that lives elsewhere (another environment, a software device) replays the calls and writes
its own outputs under the same names. Every past that a step is fed comes from the CPU's own
presents: no call depends on another runtime's answer, so an error stays where it was made.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt.arrays import Floats, Tokens
from whisperopt.artifact import Artifact
from whisperopt.errors import WhisperoptError
from whisperopt.host import usable_cores
from whisperopt.runtime import mel, ort_graph, self_test
from whisperopt.whisper import SAMPLE_RATE, Dimensions

FILE = "tape.json"
_STRIDE = 7919
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

    graph: Literal["encoder.onnx", "decoder.onnx"]
    label: str
    """E.g. `prefill, batch 2`."""
    feeds: tuple[Array, ...]
    outputs: tuple[Array, ...]
    """What the CPU computed."""
    valid: int | None
    """Slots (axis 2) of `present_*_self_*` that hold tokens; beyond them anything may stand."""


class Tape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All calls, in the order in which they were made."""

    runs: tuple[Run, ...]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How far another runtime's output is off; infinitely if it is missing or not a number."""

    label: str
    output: str
    relative_l2: float
    """|a - b| / |b| over all valid values."""
    relative_max: float
    """max|a - b| / max|b| over all valid values."""
    odd: str = ""
    """Why the errors are infinite, if they are."""


def record(
    artifact: Artifact,
    folder: Path,
    *,
    batches: Iterable[int] = (1, 2),
    steps: int = 2,
    at_once: int = 0,
) -> Tape:
    """Run both graphs on the CPU; write every feed, every output and `tape.json` into `folder`.

    For each batch size: the encoder, the whole prompt, then `steps` single tokens, the likeliest
    ones; and from scratch `at_once` tokens in one call. Every row hears a sound of its own. Raises
    `WhisperoptError` if the CPU cannot do it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recorder = _Recorder(artifact, folder)
    for batch in batches:
        recorder.record(batch, steps, at_once)
    tape = Tape(runs=tuple(recorder.runs))
    (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(tape), indent=1) + b"\n")
    return tape


def compare(tape: Tape, folder: Path, outputs: Path) -> tuple[Difference, ...]:
    """Compare what another runtime wrote into `outputs` with the tape in `folder`, in its order.

    The files must have the tape's names, types and shapes. Logits are compared less their mean at
    each position, on which no probability depends.
    """
    return tuple(
        _difference(run, expected, folder, outputs)
        for run in tape.runs
        for expected in run.outputs
    )


def within(differences: Iterable[Difference], bar: float) -> str | None:
    """Return why `differences` are not all within the relative L2 `bar`, or None."""
    worst = max(differences, key=lambda one: one.relative_l2, default=None)
    if worst is None:
        return "nothing was computed"
    if worst.relative_l2 <= bar:
        return None
    place = f"{worst.output} ({worst.label})"
    if not np.isfinite(worst.relative_l2):
        return f"{place} {worst.odd}"
    return f"{place} has a relative error of {worst.relative_l2:.2g}, allowed is {bar:g}"


class _Kept(NamedTuple):
    values: _Values
    array: Array


class _Recorder:
    """Makes the calls, and writes each array once: an output that is fed again keeps its file."""

    def __init__(self, artifact: Artifact, folder: Path) -> None:
        self.dims = artifact.manifest.dims
        self.prompt = artifact.manifest.decoding.prompt(None)
        self.grows = artifact.manifest.recipe.cache == "concat"
        self.folder = folder
        self.runs: list[Run] = []
        self.encoder = _open(artifact, "encoder")
        self.decoder = _open(artifact, "decoder")

    def record(self, batch: int, steps: int, at_once: int) -> None:
        features = self.keep("audio_features", _sounds(self.dims, batch))
        encoded = self.call("encoder", f"encoder, batch {batch}", [features])
        cross = [_as_past(kept) for name, kept in encoded.items() if "_cross_" in name]
        empty, past = self.empty_caches(batch), 0
        caches, ids = empty, np.array([self.prompt] * batch, np.int32)
        for step in range(steps + 1):
            label = f"step {step}, batch {batch}" if step else f"prefill, batch {batch}"
            decoded = self.decode(label, ids, past, [*caches, *cross])
            past += ids.shape[1]
            ids = decoded.pop("logits").values[:, -1].argmax(-1).astype(np.int32)[:, None]
            caches = [_as_past(kept) for kept in decoded.values()]
        if at_once:
            several = np.arange(batch * at_once, dtype=np.int32).reshape(batch, at_once)
            several = several * _STRIDE % self.dims.vocabulary
            self.decode(f"{at_once} at once, batch {batch}", several, 0, [*empty, *cross])

    def decode(self, label: str, ids: Tokens, past: int, pasts: list[_Kept]) -> dict[str, _Kept]:
        feeds = [self.keep("input_ids", ids), *pasts]
        if self.grows:
            return self.call("decoder", label, feeds)
        feeds.append(self.keep("past_sequence_length", np.array([past], np.int32)))
        return self.call("decoder", label, feeds, past + ids.shape[1])

    def empty_caches(self, batch: int) -> list[_Kept]:
        dims = self.dims
        length = 0 if self.grows else dims.text_context
        shape = (batch, dims.decoder_kv_heads, length, dims.head_size)
        names = [one.name for one in self.decoder.get_inputs() if "_self_" in one.name]
        kept = self.keep(names[0], np.zeros(shape, np.float32))
        return [_renamed(kept, name) for name in names]

    def keep(self, name: str, values: _Values) -> _Kept:
        """Write `values` in the type that the graphs want."""
        inputs = (*self.encoder.get_inputs(), *self.decoder.get_inputs())
        kind = _NUMPY[next(one.type for one in inputs if one.name == name)]
        return self.write(name, values.astype(kind))

    def write(self, name: str, values: _Values) -> _Kept:
        file = f"{len(self.runs):02}-{name}.bin"
        values.astype(values.dtype.newbyteorder("<")).tofile(self.folder / file)
        array = Array(name=name, file=file, dtype=values.dtype.name, shape=values.shape)
        return _Kept(values, array)

    def call(
        self,
        part: Literal["encoder", "decoder"],
        label: str,
        feeds: list[_Kept],
        valid: int | None = None,
    ) -> dict[str, _Kept]:
        session = self.encoder if part == "encoder" else self.decoder
        names = [output.name for output in session.get_outputs()]
        try:
            computed = session.run(names, {kept.array.name: kept.values for kept in feeds})
        except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
            raise WhisperoptError(f"the CPU cannot run the {part}: {_first_line(error)}") from None
        outputs = {}
        for name, values in zip(names, computed, strict=True):
            if valid is not None and "_self_" in name:
                values[:, :, valid:] = 0  # undefined there; it is fed to the next step
            outputs[name] = self.write(name, values)
        run = Run(
            graph="encoder.onnx" if part == "encoder" else "decoder.onnx",
            label=label,
            feeds=tuple(kept.array for kept in feeds),
            outputs=tuple(kept.array for kept in outputs.values()),
            valid=valid,
        )
        self.runs.append(run)
        return outputs


_NUMPY = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int32)": np.int32}


def _renamed(kept: _Kept, name: str) -> _Kept:
    return _Kept(kept.values, msgspec.structs.replace(kept.array, name=name))


def _as_past(kept: _Kept) -> _Kept:
    return _renamed(kept, kept.array.name.replace("present", "past", 1))


def _open(artifact: Artifact, part: Literal["encoder", "decoder"]) -> Any:
    try:
        session = ort_graph.on_cpu(artifact.graph(part), threads=usable_cores())
    except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
        reason = f"the CPU cannot open {artifact.name}: {_first_line(error)}"
        raise WhisperoptError(reason) from None
    if odd := {one.type for one in session.get_inputs()} - set(_NUMPY):
        raise WhisperoptError(f"numpy has no type for {', '.join(sorted(odd))}")
    return session


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _sounds(dims: Dimensions, batch: int) -> Floats:
    """Make features [batch, mels, frames]: the self-test's sound, then bursts of noise."""
    rows = [self_test.sound(dims)]
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    for seed in range(1, batch):
        noise = np.random.default_rng(seed).standard_normal(time.size)
        bursts = 0.2 * noise * (np.sin(2 * np.pi * (1 + seed) * time) > 0)
        rows.append(mel.log_mel(bursts.astype(np.float32), dims.mels, dims.frames)[None])
    return np.concatenate(rows)


def _difference(run: Run, expected: Array, folder: Path, outputs: Path) -> Difference:
    wanted, found = expected.read(folder), expected.read(outputs)
    errors = (float("inf"), float("inf"))
    if wanted is not None and found is not None:
        if run.valid is not None and "_self_" in expected.name:
            wanted, found = wanted[:, :, : run.valid], found[:, :, : run.valid]
        wanted, found = wanted.astype(np.float64), found.astype(np.float64)
        if expected.name == "logits":
            wanted = wanted - wanted.mean(axis=-1, keepdims=True)
            found = found - found.mean(axis=-1, keepdims=True)
        errors = _relative(found, wanted)
    return Difference(
        label=run.label,
        output=expected.name,
        relative_l2=errors[0],
        relative_max=errors[1],
        odd=_odd(expected, outputs),
    )


def _odd(expected: Array, outputs: Path) -> str:
    if not (outputs / expected.file).is_file():
        return "was not computed"
    if expected.read(outputs) is None:
        return f"does not have the shape {list(expected.shape)}"
    return "holds values that are no numbers"


def _relative(
    found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]
) -> tuple[float, float]:
    off = found - wanted
    if not np.isfinite(off).all():
        return float("inf"), float("inf")
    if not off.any():
        return 0.0, 0.0
    length, largest = float(np.linalg.norm(wanted)), float(np.abs(wanted).max())
    tiny = float(np.finfo(np.float64).tiny)
    return (
        float(np.linalg.norm(off)) / max(length, tiny),
        float(np.abs(off).max()) / max(largest, tiny),
    )
