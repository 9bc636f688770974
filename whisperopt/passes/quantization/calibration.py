"""What the encoder of one checkpoint makes of a few seconds of audio, rounded here and there."""

import hashlib
import tempfile
from collections.abc import Collection
from importlib import resources
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from whisperopt import cache
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import CoreModel
from whisperopt.graph.files import write
from whisperopt.passes.quantization.mixed import Choice, choose
from whisperopt.passes.quantization.switches import SWITCHES, Switches
from whisperopt.passes.quantization.weights import products
from whisperopt.passes.rewrite import run
from whisperopt.runtime import audio, mel, ort_graph
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import Dimensions

_CLIPS = ("j001.ogg", "s001.ogg", "n001.ogg")
"""Speech that fills the window, speech with silence behind it, and noise."""
_PACKAGE = resources.files("whisperopt.clips")
_FRAMES = 400
_WORK = 2e10
"""Weights times positions of one run: a second or less. Larger models hear fewer clips."""
_KIND = "choices"
_CODE = (
    "whisperopt.graph",
    "whisperopt.passes",
    "whisperopt.runtime.audio",
    "whisperopt.runtime.mel",
    "whisperopt.runtime.ort_graph",
    "whisperopt.checkpoint",
    "whisperopt.whisper",
)
_MADE = "sha256:" + "0" * 64
_HIDDEN = "hidden_states"


def chosen(core: CoreModel, scratch: Path | None = None) -> Choice:
    """Return which weights of `core`'s encoder stay as they are while the others are rounded.

    A choice is made once for a checkpoint and remembered. An encoder in single precision lies in
    the folder `scratch` meanwhile. Raises `WhisperoptError` where that does not fit, and without
    ONNX Runtime, which computes the encoder.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        raise WhisperoptError(
            "ONNX Runtime is not installed, and it measures what may be rounded",
            "pip install 'whisperopt[cpu]'",
        ) from None
    key = _key(core, ort.__version__)
    known = cache.recall(_KIND, key, Choice) if key else None
    if known is not None:
        return known
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            found = _measured(core, Path(folder) / "encoder.onnx")
    except OSError as error:
        raise WhisperoptError(
            f"What may be rounded cannot be measured: {error.strerror or error}",
            "Make room for the encoder in single precision",
        ) from None
    if key:
        cache.keep(_KIND, key, found)
    return found


def features(dims: Dimensions, weights: int) -> Floats:
    """Return log-mel features float32 [B, mels, frames] for an encoder of so many `weights`."""
    frames = min(_FRAMES, dims.frames)
    affordable = int(_WORK // (weights * frames / 2))
    names = _CLIPS[: max(1, affordable)]
    heard = []
    for name in names:
        with resources.as_file(_PACKAGE / name) as path:
            heard.append(mel.log_mel(audio.read(path), dims.mels, frames))
    return np.stack(heard)


def _key(core: CoreModel, version: str) -> str | None:
    """Name all that a choice rests on; None for a checkpoint that is not in files."""
    code, digest = cache.code_key(*_CODE), core.checkpoint.digest()
    if code is None or digest == _MADE:
        return None
    clips = [hashlib.sha256((_PACKAGE / name).read_bytes()).hexdigest() for name in _CLIPS]
    libraries = [version, np.__version__, ir.__version__]
    return cache.key(digest, core.checkpoint.dims, code, clips, libraries)


def _measured(core: CoreModel, path: Path) -> Choice:
    model = core.part("encoder")
    del model.graph.outputs[1:]  # what cross-attention reads is made of the first
    RemoveUnusedNodesPass()(model)
    sizes = {product.name: product.tensor.size for product in products(model)}
    write(run(model, [Switches()]), path)
    session = ort_graph.on_cpu(path)
    heard = features(core.checkpoint.dims, sum(sizes.values()))

    def encoded(rounded: Collection[str]) -> Floats:
        switches = np.array([name in rounded for name in sizes])
        (hidden,) = session.run([_HIDDEN], {"audio_features": heard, SWITCHES: switches})
        return np.asarray(hidden, np.float32)

    exact = encoded(())

    def error(rounded: Collection[str]) -> float:
        """Return the largest ||a - b||^2 / ||b||^2 of any clip."""
        off = encoded(rounded) - exact
        apart, length = ((x * x).sum(axis=(1, 2), dtype=np.float64) for x in (off, exact))
        return float((apart / length).max())

    return choose(sizes, error)
