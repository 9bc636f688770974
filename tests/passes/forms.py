"""The forms of a model that recipes ask for, written and run through ONNX Runtime's CPU."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from whisperopt import artifact
from whisperopt.artifact import TOKENIZER, Artifact, Manifest
from whisperopt.backend import Decoder, Recipe, Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.evaluate import case
from whisperopt.graph.core import CoreModel
from whisperopt.passes.plan import dims_of, write_variant
from whisperopt.runtime.arrays import Floats, Tokens
from whisperopt.whisper import Decoding, Dimensions

CORE = msgspec.structs.replace(case.CORE, name="core")
DECOMPOSED = msgspec.structs.replace(
    CORE,
    name="decomposed",
    self_attention="decomposed",
    cross_attention="decomposed",
    encoder_attention="decomposed",
    cache="static",
)


def form(base: Recipe = CORE, **changes: Any) -> Recipe:
    """Return `base` with some of its choices changed."""
    return msgspec.structs.replace(base, **changes)


def write(checkpoint: Checkpoint, recipe: Recipe, folder: Path) -> Artifact:
    """Write one variant of `checkpoint` with its manifest into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_variant(recipe, CoreModel(checkpoint), folder)
    (folder / TOKENIZER).write_bytes(checkpoint.tokenizer_json())
    manifest = Manifest(
        model=checkpoint.name,
        target="cpu",
        backend="cpu",
        recipe=recipe,
        dims=dims_of(recipe, checkpoint.dims),
        decoding=checkpoint.decoding,
        checkpoint=checkpoint.digest(),
    )
    artifact.write_manifest(folder, manifest)
    return Artifact(folder, manifest)


def open_session(made: Artifact) -> Session:
    """Open an artifact on the CPU with two threads."""
    from whisperopt.runtime.ort import CPU, OrtSession

    return OrtSession(made, CPU, threads=2)


class Run(NamedTuple):
    """What a model computed: encoder output, and logits of the prefill and of every step."""

    hidden: Floats
    logits: list[Floats]

    def first(self, rows: int) -> "Run":
        """Return the same of the batch's first rows."""
        return Run(self.hidden[:rows], [step[:rows] for step in self.logits])


def run(session: Session, features: Floats, prompt: Tokens, forced: Tokens) -> Run:
    """Encode `features`, then decode int32 `prompt` [B, P] and the columns of `forced` [B, N]."""
    return decode(session.encode(features), prompt, forced)


def decode(decoder: Decoder, prompt: Tokens, forced: Tokens) -> Run:
    """Decode int32 `prompt` [B, P] and the columns of `forced` [B, N] from scratch."""
    decoder.reset()
    logits = [decoder.step(np.ascontiguousarray(prompt, np.int32)).copy()]
    columns = np.ascontiguousarray(forced.T, np.int32)
    logits += [decoder.step(column[:, None]).copy() for column in columns]
    return Run(decoder.hidden_states().copy(), logits)


def relative_error(found: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Return max|found - expected| / max|expected|."""
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert a.shape == b.shape
    return float(np.abs(a - b).max() / np.abs(b).max())


def largest_error(found: Run, expected: Run) -> float:
    """Return the largest relative error of encoder output and any step's logits."""
    pairs = [(found.hidden, expected.hidden), *zip(found.logits, expected.logits, strict=True)]
    return max(relative_error(a, b) for a, b in pairs)


def speech_like(dims: Dimensions, *, batch: int, seed: int = 0) -> Floats:
    """Return made-up features float32 [batch, mels, frames] in the range of log-mel features."""
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1.5, (batch, dims.mels, dims.frames)).astype(np.float32)


def random_tokens(dims: Dimensions, *, batch: int, length: int, seed: int = 1) -> Tokens:
    """Return made-up token ids int32 [batch, length]."""
    random = np.random.default_rng(seed)
    return random.integers(0, dims.vocabulary, (batch, length)).astype(np.int32)


def operators(model: ir.Model) -> dict[str, int]:
    """Return how many nodes of each operator there are; contributed ones carry their domain."""
    counts: dict[str, int] = {}
    for node in model.graph:
        name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        counts[name] = counts.get(name, 0) + 1
    return counts


def serialized(model: ir.Model) -> bytes:
    """Return the whole model, weights included, as bytes."""
    content: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return content


class MadeCheckpoint:
    """A checkpoint that lives in memory, for sizes that no reader takes."""

    name, source = "made", "made"

    def __init__(self, dims: Dimensions, weights: dict[str, Floats]) -> None:
        """Hold `weights` by their names."""
        self.dims, self.weights = dims, weights
        self.decoding = Decoding(
            start_of_transcript=257,
            end_of_text=256,
            no_timestamps=259,
            transcribe=None,
            languages={},
            suppress=[1, 2],
            suppress_first=[0, 256],
            alignment_heads=[],
        )

    def names(self) -> list[str]:
        """Return the names of all tensors."""
        return list(self.weights)

    def tensor(self, name: str) -> Floats:
        """Return one tensor."""
        return self.weights[name]

    def tokenizer_json(self) -> bytes:
        """Return nothing that could be parsed: no test of graphs reads it."""
        return b"{}"

    def digest(self) -> str:
        """Return a digest that says that there are no files."""
        return "sha256:" + "0" * 64
