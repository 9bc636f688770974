"""Compares a dequantized reference with the core model."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from whisperopt.errors import first_line
from whisperopt.reasons import Reason, because
from whisperopt.runtime import ort_graph, self_test
from whisperopt.runtime.ort_graph import Values, empty_caches, lengths, pasts
from whisperopt.static_checks.io_trace import STRIDE, relative_error
from whisperopt.whisper import Dimensions

if TYPE_CHECKING:
    import onnxruntime as ort

AT = "at/"
"""Opens the name of an output: the mean over the second axis of what a weight was used for."""
BOUND = 1e-4
"""Largest ||a - b|| / ||b||: sums in another order stay far below."""
_RESULTS = {"encoder": "hidden_states", "decoder": "logits"}
_MORE, _STEPS = 4, 3
_SPANS = 1, 1, 2, 5
"""What the positions stand for, over and over: spans of one alone would hide what is wrong."""


class Graphs(msgspec.Struct, frozen=True, kw_only=True):
    """Graphs to run, and what they are told."""

    folder: Path
    answers: Path
    """What the core model's graphs gave."""
    dims: Dimensions
    prompt: list[int]


class Equivalence(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the comparison."""

    reason: Reason | None = None
    """Why the variant is refused, if it is."""
    not_compared: Reason | None = None
    """Why there was nothing to compare, if so."""
    certain: bool = True
    """False: the comparison crashed or took too long, which another try may not meet."""


class GraphCall(NamedTuple):
    """One run of one graph."""

    part: str
    label: str
    outputs: Values


def record(graphs: Graphs) -> Equivalence:
    """Run the core model's graphs and write what they gave; a handler of `whisperopt.process`."""
    told: dict[str, Any] = {
        f"{call.part}|{call.label}|{name}": values
        for call in _calls(graphs)
        for name, values in call.outputs.items()
        if name.startswith((_RESULTS[call.part], AT))
    }
    partial = graphs.answers.with_suffix(".partial.npz")
    np.savez(partial, **told)
    partial.replace(graphs.answers)
    return Equivalence()


def compare(graphs: Graphs) -> Equivalence:
    """Run a variant's graphs and say where they differ first; a handler of `whisperopt.process`."""
    expected: dict[tuple[str, str], Values] = {}
    with np.load(graphs.answers) as arrays:
        for key in arrays.files:
            part, label, name = key.split("|", 2)
            expected.setdefault((part, label), {})[name] = arrays[key]
    try:
        found = list(_calls(graphs))
    except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
        why = because("equivalence.cpu-fails", why=first_line(error)[:300])
        return Equivalence(not_compared=why)
    calls = (GraphCall(part, label, outputs) for (part, label), outputs in expected.items())
    reasons = (difference(*pair) for pair in zip(found, calls, strict=True))
    return Equivalence(reason=next(filter(None, reasons), None))


def difference(found: GraphCall, expected: GraphCall) -> Reason | None:
    """Say by how much two runs differ and where that begins, or nothing."""
    result = _RESULTS[expected.part]
    error = relative_error(found.outputs[result], expected.outputs[result])
    if error <= BOUND:
        return None
    for name, values in expected.outputs.items():
        known = name.startswith(AT) and name in found.outputs
        if known and not relative_error(found.outputs[name], values) <= BOUND:
            place = repr(name.removeprefix(AT).removesuffix(" as a product"))
            return because("equivalence.off-from", place, **_off(expected, error))
    return because("equivalence.off", **_off(expected, error))


def _off(call: GraphCall, error: float) -> dict[str, str]:
    return {"part": call.part, "call": call.label, "percent": f"{100 * error:.3g}"}


def _calls(graphs: Graphs) -> Iterator[GraphCall]:
    """Run the encoder, a prompt with more tokens behind it, and single tokens after that."""
    folder, dims, prompt = graphs.folder, graphs.dims, graphs.prompt
    encoder = ort_graph.on_cpu(folder / "encoder.onnx")
    encoded = ort_graph.outputs(encoder, _features(encoder, dims))
    yield GraphCall("encoder", "its output", encoded)
    decoder = ort_graph.on_cpu(folder / "decoder.onnx")
    more = [STRIDE * (place + 1) % dims.vocabulary for place in range(_MORE + _STEPS)]
    fed = [[*prompt, *more[:_MORE]], *([token] for token in more[_MORE:])]
    caches, past = empty_caches(decoder), 0
    for step, ids in enumerate(fed):
        feeds = {**pasts(encoded, "_cross"), **caches, **lengths(decoder, past)}
        feeds["input_ids"] = np.array([ids], np.int32)
        outputs = ort_graph.outputs(decoder, feeds)
        yield GraphCall("decoder", f"step {step}" if step else "the prefill", outputs)
        if not step:
            yield GraphCall(
                "decoder", "the prefill's last position", _last(decoder, feeds, outputs)
            )
        caches, past = pasts(outputs, "_self_"), past + len(ids)


def _last(decoder: "ort.InferenceSession", feeds: Values, outputs: Values) -> Values:
    """Return the last position's logits alone: asked for where a graph can be, else cut out."""
    if any(put.name == "logits_from" for put in decoder.get_overridable_initializers()):
        outputs = ort_graph.outputs(decoder, {**feeds, "logits_from": np.array([-1], np.int64)})
        return {"logits": outputs["logits"]}
    return {"logits": outputs["logits"][:, -1:]}


def _features(encoder: "ort.InferenceSession", dims: Dimensions) -> Values:
    """Return the features of the self-test's sound; and spans where they are taken."""
    features = self_test.sound(dims)
    taken = [*encoder.get_inputs(), *encoder.get_overridable_initializers()]
    if all(put.name != "audio_spans" for put in taken):
        return {"audio_features": features}
    spans = np.resize(np.array(_SPANS, np.int32), dims.audio_context)
    spans = spans[np.cumsum(spans) <= dims.audio_context]
    return {"audio_features": features[:, :, : 2 * spans.size], "audio_spans": spans}
