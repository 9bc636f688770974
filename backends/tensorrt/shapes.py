"""The lengths of every dynamic axis: an engine holds one range for each and runs nothing outside."""

from typing import NamedTuple

from whisperopt.whisper import Dimensions

MAX_BATCH = 8
"""The largest batch that engines are built for."""
PAST = "past_sequence_length"


class Range(NamedTuple):
    """From the least to the most, tuned for the usual length; named as in TensorRT's profiles."""

    min: int
    opt: int
    max: int


def ranges(dims: Dimensions) -> dict[str, Range]:
    """Return the range of each dynamic axis by its name in the graphs.

    The value of `past_sequence_length` is among them: where it decides a shape, TensorRT wants it
    bounded as well. The whole window is always encoded.
    """
    return {
        "batch": Range(1, 1, MAX_BATCH),
        "sequence": Range(1, 1, dims.text_context),
        "frames": Range(dims.frames, dims.frames, dims.frames),
        "context": Range(dims.audio_context, dims.audio_context, dims.audio_context),
        PAST: Range(0, 4, dims.text_context - 1),
    }


def inputs(dims: Dimensions) -> dict[str, tuple[int | str, ...]]:
    """Return the shape of every input of both graphs; a name stands for a dynamic axis."""
    own = ("batch", dims.decoder_kv_heads, dims.text_context, dims.head_size)
    cross = ("batch", dims.decoder_heads, "context", dims.head_size)
    shapes: dict[str, tuple[int | str, ...]] = {
        "audio_features": ("batch", dims.mels, "frames"),
        "input_ids": ("batch", "sequence"),
    }
    for layer in range(dims.decoder_layers):
        for kind in ("key", "value"):
            shapes[f"past_{kind}_self_{layer}"] = own
            shapes[f"past_{kind}_cross_{layer}"] = cross
    return shapes


def profile(dims: Dimensions, bound: str) -> str:
    """Write one field of all ranges as ONNX Runtime's providers read it: `input:1x80x3000,...`.

    An input whose values decide shapes is given by its value instead.
    """
    known = {name: getattr(axis, bound) for name, axis in ranges(dims).items()}
    written = [f"{PAST}:{known[PAST]}"]
    for name, shape in inputs(dims).items():
        sizes = [axis if isinstance(axis, int) else known[axis] for axis in shape]
        written.append(f"{name}:{'x'.join(map(str, sizes))}")
    return ",".join(written)
