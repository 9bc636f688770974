"""Makes and opens variants of the made-up checkpoint, each once, beside its core model."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from whisperopt.artifact import Artifact
from whisperopt.backend import Backend, Decoder, Recipe, Session
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate.case import CORE
from whisperopt.graph.core import CoreModel
from whisperopt.runtime.arrays import Floats, Tokens
from whisperopt.testing.made import MadeCheckpoint, describe
from whisperopt.whisper import Dimensions


class MadeInput(NamedTuple):
    """Something to hear and to write down."""

    features: Floats
    """Float32 [B, mels, frames] in the range of log-mel features."""
    ids: Tokens
    """Int32 [B, S]."""

    def rows(self, rows: list[int]) -> "MadeInput":
        """Return only these rows, in this order."""
        return MadeInput(self.features[rows], self.ids[rows])


def sample(dims: Dimensions, *, batch: int, length: int) -> MadeInput:
    """Return a made-up batch, the same every time."""
    random = np.random.default_rng(7)
    features = random.uniform(-1, 1.5, (batch, dims.mels, dims.frames)).astype(np.float32)
    return MadeInput(
        features, random.integers(0, dims.vocabulary, (batch, length)).astype(np.int32)
    )


def stepped(decoder: Decoder, ids: Tokens, *, prompt: int) -> Floats:
    """Decode the first `prompt` of `ids` [B, S] at once and the rest one by one; logits [B, S, V]."""
    pieces = [ids[:, :prompt], *np.split(ids[:, prompt:], ids.shape[1] - prompt, axis=1)]
    found = [np.array(decoder.step(np.ascontiguousarray(p))) for p in pieces if p.size]
    return np.concatenate(found, axis=1)


class Workshop:
    """What one class of conformance tests shares."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        """Write to the empty folder `folder`."""
        self.backend, self._folder = backend, folder
        self.checkpoint = MadeCheckpoint()
        self.dims = self.checkpoint.dims
        self.core = CoreModel(self.checkpoint)
        self._artifacts: dict[str, Artifact] = {}
        self._sessions: dict[str, Session | str] = {}
        self._references: dict[int | None, Session | str] = {}

    def artifact(self, recipe: Recipe) -> Artifact:
        """Return the variant of `recipe`, built when it is first asked for."""
        if recipe.name not in self._artifacts:
            out = self._folder / recipe.name
            out.mkdir()
            self.backend.build(recipe, self.core, out)
            made = describe(out, self.checkpoint, recipe, self.backend.name)
            self._artifacts[recipe.name] = made
        return self._artifacts[recipe.name]

    def session(self, recipe: Recipe) -> Session | str:
        """Return the variant of `recipe` opened, or the reason why this host cannot."""
        if recipe.name not in self._sessions:
            made = self.artifact(recipe)
            try:
                self._sessions[recipe.name] = self.backend.open(made, threads=1)
            except WhisperoptError as error:
                self._sessions[recipe.name] = str(error)
        return self._sessions[recipe.name]

    def reference(self, recipe: Recipe) -> Session | str:
        """Return the core model with as many key/value heads, on ONNX Runtime's CPU provider."""
        if recipe.kv_heads not in self._references:
            self._references[recipe.kv_heads] = self._open_core(recipe.kv_heads)
        return self._references[recipe.kv_heads]

    def _open_core(self, kv_heads: int | None) -> Session | str:
        from whisperopt.passes.plan import write_variant

        try:
            from whisperopt.runtime.ort import CPU, OrtSession

            recipe = msgspec.structs.replace(CORE, name=f"core-{kv_heads}", kv_heads=kv_heads)
            out = self._folder / recipe.name
            out.mkdir()
            write_variant(recipe, self.core, out)
            return OrtSession(describe(out, self.checkpoint, recipe, "core"), CPU, threads=1)
        except (ImportError, WhisperoptError) as error:
            return f"ONNX Runtime's CPU provider computes the expected values: {error}"
