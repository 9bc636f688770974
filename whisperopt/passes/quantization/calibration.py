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
from whisperopt.graph.canvas import Canvas, graph_input, input_called
from whisperopt.graph.core import CoreModel, write
from whisperopt.passes.quantization.dynamic import draw
from whisperopt.passes.quantization.mixed import Choice, choose
from whisperopt.passes.quantization.weights import products
from whisperopt.passes.rewrite import Pass, canvas_for, replace, run
from whisperopt.reasons import because
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
AUTHORING = tuple(f"whisperopt.{name}" for name in ("graph", "passes", "checkpoint", "whisper"))
"""The code that decides what graphs are, apart from the backends' own passes."""
_MEASURING = tuple(f"whisperopt.runtime.{name}" for name in ("audio", "mel", "ort_graph"))
_MADE = "sha256:" + "0" * 64
_HIDDEN = "hidden_states"
SWITCHES = "rounded_products"
"""The input bool [n]: which of the n products of the graph are rounded, in graph order."""


def chosen(core: CoreModel, scratch: Path | None = None) -> Choice:
    """Return which weights of `core`'s encoder stay as they are while the others are rounded.

    A choice is made once for a checkpoint and remembered. An encoder in single precision lies in
    the folder `scratch` meanwhile. Raises `WhisperoptError` where that does not fit, and without
    ONNX Runtime, which computes the encoder.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        raise WhisperoptError(because("passes.no-runtime")) from None
    key = _key(core, ort.__version__)
    known = cache.recall(_KIND, key, Choice) if key else None
    if known is not None:
        return known
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            found = _measured(core, Path(folder) / "encoder.onnx")
    except OSError as error:
        why = error.strerror or str(error)
        raise WhisperoptError(because("passes.not-measured", why=why)) from None
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
    code, digest = cache.code_key(*AUTHORING, *_MEASURING), core.checkpoint.digest()
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


class Switches(Pass):
    """MatMul(x, W) -> If(rounded_products[i]) then its rounded form, else what it was."""

    def requires(self, model: ir.Model) -> str | None:
        """There are no switches yet."""
        return f"it has {SWITCHES} already" if input_called(model, SWITCHES) else None

    def apply(self, model: ir.Model) -> None:
        """Put a switch before every product by a weight."""
        switches = graph_input(SWITCHES, ir.DataType.BOOL, ["products"])
        model.graph.inputs.append(switches)
        for index, product in enumerate(list(products(model))):
            name = product.node.name
            rounded, plain = (
                canvas_for(model, f"{name}/{form}/") for form in ("rounded", "plain")
            )
            canvas = canvas_for(model, f"{name}/switch/")
            chosen = canvas.op(
                "If",
                canvas.op("Gather", switches, canvas.ints(index)),
                then_branch=_branch(rounded, draw(rounded, product)),
                else_branch=_branch(plain, plain.op("MatMul", *product.node.inputs)),
            )
            replace(product.node, canvas, [chosen])

    def ensures(self, model: ir.Model) -> str | None:
        """The switches are an input."""
        return None if input_called(model, SWITCHES) else f"{SWITCHES} is no input"


def _branch(canvas: Canvas, output: ir.Value) -> ir.Graph:
    return ir.Graph([], [output], nodes=canvas.nodes, name=canvas.prefix)
