"""Compares what a double computes with what the core model computes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt.arrays import Tokens
from whisperopt.passes import audio_spans
from whisperopt.passes.last_logits import LOGITS_FROM
from whisperopt.runtime import ort_graph, self_test
from whisperopt.static_checks.equivalence.double import AT
from whisperopt.whisper import Dimensions

if TYPE_CHECKING:
    import onnxruntime as ort

BOUND = 1e-4
"""Largest ||a - b|| / ||b||: sums in another order stay far below."""
_MORE, _STEPS = 4, 3
_SPANS = 1, 1, 2, 5
"""What the positions stand for, over and over: spans of one alone would hide what is wrong."""
_STRIDE = 7919
"""A prime: tokens far from each other."""
_Outputs = dict[str, npt.NDArray[Any]]


class Doubles(msgspec.Struct, frozen=True, kw_only=True):
    """The folders of both doubles, and what is played to them."""

    core: Path
    double: Path
    dims: Dimensions
    prompt: list[int]


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the comparison."""

    reason: str = ""
    """Why the variant is refused; empty if it is not."""
    not_compared: str = ""
    """Why there was nothing to compare, if so."""
    certain: bool = True
    """False: the comparison crashed or took too long, which another try may not meet."""


class Call(NamedTuple):
    """One run of one graph."""

    part: str
    label: str
    outputs: _Outputs


def compare(asked: Doubles) -> Wiring:
    """Run both doubles and say where the first difference is."""
    expected = list(_calls(asked.core, asked.dims, asked.prompt))
    try:
        found = list(_calls(asked.double, asked.dims, asked.prompt))
    except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Wiring(not_compared=f"the CPU cannot run it: {first_line[:300]}")
    reasons = (difference(*pair) for pair in zip(found, expected, strict=True))
    return Wiring(reason=next(filter(None, reasons), ""))


def difference(found: Call, expected: Call) -> str:
    """Say by how much two runs differ and where that begins, or nothing."""
    result = "hidden_states" if expected.part == "encoder" else "logits"
    error = _error(found.outputs[result], expected.outputs[result])
    if error <= BOUND:
        return ""
    where = next((f" from {p!r} on" for p in _places(found.outputs, expected.outputs)), "")
    return (
        f"{expected.part}: the graph differs from the core model's: over the checkpoint's own"
        f" weights {expected.label} is off by {100 * error:.3g} %{where}"
    )


def _places(found: _Outputs, expected: _Outputs) -> Iterator[str]:
    """Yield the weights behind which values differ, in the order in which they are used."""
    for name, values in expected.items():
        known = name.startswith(AT) and name in found
        if known and not _error(found[name], values) <= BOUND:
            yield name.removeprefix(AT).removesuffix(" as a product")


def _error(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    if found.shape != expected.shape:
        return float("inf")
    off = float(np.linalg.norm(found.astype(np.float64) - expected))
    return off / max(float(np.linalg.norm(expected)), 1e-30) if np.isfinite(off) else float("inf")


def _calls(folder: Path, dims: Dimensions, prompt: list[int]) -> Iterator[Call]:
    """Run the encoder, a prompt with more tokens behind it, and single tokens after that."""
    encoder = ort_graph.on_cpu(folder / "encoder.onnx")
    encoded = _run(encoder, _sound(encoder, dims))
    yield Call("encoder", "its output", encoded)
    decoder = ort_graph.on_cpu(folder / "decoder.onnx")
    more = [_STRIDE * (place + 1) % dims.vocabulary for place in range(_MORE + _STEPS)]
    fed = [[*prompt, *more[:_MORE]], *([token] for token in more[_MORE:])]
    seen, past = _empty(decoder), 0
    for step, ids in enumerate(fed):
        feeds = {**_pasts(encoded, "_cross"), **seen, **_lengths(decoder, past)}
        feeds["input_ids"] = np.array([ids], np.int32)
        outputs = _run(decoder, feeds)
        yield Call("decoder", f"step {step}" if step else "the prefill", outputs)
        if not step:
            yield Call("decoder", "the prefill's last position", _last(decoder, feeds, outputs))
        seen, past = _pasts(outputs, "_self_"), past + len(ids)


def _last(decoder: "ort.InferenceSession", feeds: _Outputs, outputs: _Outputs) -> _Outputs:
    """Return the last position's logits alone: asked for where a graph can be, else cut out."""
    if any(put.name == LOGITS_FROM for put in decoder.get_overridable_initializers()):
        outputs = _run(decoder, {**feeds, LOGITS_FROM: np.array([-1], np.int64)})
        return {"logits": outputs["logits"]}
    return {"logits": outputs["logits"][:, -1:]}


def _run(session: "ort.InferenceSession", feeds: Mapping[str, Any]) -> _Outputs:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(feeds)), strict=True))


def _empty(decoder: "ort.InferenceSession") -> _Outputs:
    """Return caches that hold no token: of length 0, or of zeros."""
    return {
        put.name: np.zeros(
            [1, *(s if isinstance(s, int) else 0 for s in put.shape[1:])], np.float32
        )
        for put in decoder.get_inputs()
        if "_self_" in put.name
    }


def _pasts(outputs: _Outputs, kind: str) -> _Outputs:
    return {
        name.replace("present", "past", 1): array
        for name, array in outputs.items()
        if kind in name and name.startswith("present")
    }


def _sound(encoder: "ort.InferenceSession", dims: Dimensions) -> dict[str, Any]:
    """Return the features of the self-test's sound; and spans where they are taken."""
    features = self_test.sound(dims)
    taken = [*encoder.get_inputs(), *encoder.get_overridable_initializers()]
    if all(put.name != audio_spans.SPANS for put in taken):
        return {"audio_features": features}
    spans = np.resize(np.array(_SPANS, np.int32), dims.audio_context)
    spans = spans[np.cumsum(spans) <= dims.audio_context]
    return {"audio_features": features[:, :, : 2 * spans.size], audio_spans.SPANS: spans}


def _lengths(decoder: "ort.InferenceSession", past: int) -> dict[str, Tokens]:
    given = any(put.name == "past_sequence_length" for put in decoder.get_inputs())
    return {"past_sequence_length": np.array([past], np.int32)} if given else {}
