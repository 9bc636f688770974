"""A complete backend without a runtime: onnx's own NumPy computes, or it says what it is told to."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from whisperopt.artifact import Artifact
from whisperopt.backend import API, Decoder, Probe, Recipe, Session
from whisperopt.errors import WhisperoptError
from whisperopt.rehearsal import Rehearsal
from whisperopt.runtime import limits
from whisperopt.runtime.arrays import Floats, Spans, Tokens
from whisperopt.runtime.transcriber import Transcriber
from whisperopt.testing.made import TINY, MadeCheckpoint, describe

if TYPE_CHECKING:
    from whisperopt.graph.core import CoreModel
    from whisperopt.static_checks.capability import CapabilityTable

PLAIN = Recipe(
    name="plain-fp32",
    summary="Standard operators, computed by the book",
    self_attention="decomposed",
    cross_attention="decomposed",
    encoder_attention="decomposed",
    cache="concat",
    encoder_precision="fp32",
    decoder_precision="fp32",
)
_OPERATORS = (
    *("Add", "Cast", "Concat", "Conv", "Gather", "Gelu", "GreaterOrEqual", "LayerNormalization"),
    *("LessOrEqual", "MatMul", "Max", "Min", "Range", "Reshape", "Shape", "Slice", "Softmax"),
    *("Squeeze", "Sub", "Transpose", "Unsqueeze", "Where"),
)
_PARTS: tuple[Literal["encoder", "decoder"], ...] = ("encoder", "decoder")
_TYPES = ("float32", "int64", "int32", "bool")
_LIKE_THE_PUBLISHED = msgspec.structs.replace(TINY, mels=80, audio_context=1500, text_context=448)
KeyValue = tuple[Floats, Floats]
"""Keys and values of one layer, each float32 [B, H, L, Dh]."""


class FakeBackend:
    """A backend that is always there, the same every time, and fails only when it is told to.

    Its sessions compute as onnx defines its operators; those of a backend with a script hear nothing
    and write down its lines in turn, one for each window of audio, over and over.
    """

    api = API
    runtime = "numpy"
    extra = "build"

    def __init__(
        self,
        script: Iterable[str] = (),
        *,
        name: str = "fake",
        ladder: tuple[Recipe, ...] = (PLAIN,),
        unavailable: str = "",
        refusal: str = "",
        max_batch: int | None = None,
    ) -> None:
        """Be called `name`; be unready for the reason `unavailable`, open nothing for `refusal`."""
        self.name, self._script, self._ladder = name, tuple(script), ladder
        self._unavailable, self._refusal, self._max_batch = unavailable, refusal, max_batch

    def probe(self) -> Probe:
        """Be ready, unless told otherwise."""
        remedy = "Make another FakeBackend" if self._unavailable else ""
        return Probe(
            runtime=self.runtime,
            version=np.__version__,
            reason=self._unavailable or None,
            remedy=remedy,
        )

    def recipes(self) -> tuple[Recipe, ...]:
        """Return the ladder it was given."""
        return self._ladder

    def rehearsals(self) -> tuple[Rehearsal, ...]:
        """Return nothing: it needs no device."""
        return ()

    def capabilities(self) -> "CapabilityTable":
        """Return the standard operators of a decomposed model, in fp32."""
        from whisperopt.static_checks.capability import CapabilityTable, Operator

        operator = Operator(dtypes=_TYPES)
        return CapabilityTable(
            runtime="NumPy",
            version=np.__version__,
            max_opset=24,
            missing="this fake computes no {op}",
            source="onnx.reference",
            ops=dict.fromkeys(_OPERATORS, operator),
        )

    def build(self, recipe: Recipe, core: "CoreModel", out: Path) -> None:
        """Write both graphs."""
        from whisperopt.passes.plan import write_variant

        write_variant(recipe, core, out)

    def open(self, artifact: Artifact, *, threads: int | None = None) -> Session:
        """Open what `build` wrote; with a script, anything that has a tokenizer."""
        del threads  # NumPy decides
        if self._refusal:
            raise WhisperoptError(self._refusal)
        if self._script:
            return ScriptedSession(artifact, self._script)
        return FakeSession(artifact, self._max_batch)


class FakeSession:
    """Both graphs of a variant like `PLAIN`, computed by onnx's reference of its operators."""

    def __init__(self, artifact: Artifact, max_batch: int | None = None) -> None:
        """Read both graphs."""
        self.max_batch, self.dims = max_batch, artifact.manifest.dims
        self.placement: dict[str, int] = {}
        self._encoder, self._decoder = map(_evaluator, map(artifact.graph, _PARTS))

    def encode(self, features: Floats, spans: Spans | None = None) -> "FakeDecoder":
        """Encode float32 [B, mels, frames]; no recipe of its own has an audio tail."""
        del spans
        limits.check_batch(features.shape[0], self.max_batch)
        return FakeDecoder(self, *self.heard(features))

    def heard(self, features: Floats) -> tuple[Floats, list[KeyValue]]:
        """Return hidden states [B, frames / 2, D] and what each decoder layer reads of them."""
        hidden, *cross = self._encoder.run(None, {"audio_features": features})
        return hidden, _pairs(cross)

    def decoded(
        self, ids: Tokens, seen: Sequence[KeyValue], heard: Sequence[KeyValue]
    ) -> tuple[Floats, list[KeyValue]]:
        """Return logits [B, S, V] of `ids` [B, S], and what was seen with them added to it."""
        feeds = {"input_ids": ids, **_pasts("self", seen), **_pasts("cross", heard)}
        logits, *presents = self._decoder.run(None, feeds)
        return logits, _pairs(presents)


def _evaluator(graph: Path) -> Any:
    from onnx.reference import ReferenceEvaluator

    try:
        return ReferenceEvaluator(str(graph))
    except Exception as error:  # noqa: BLE001  # protobuf's, onnx's and the system's
        raise WhisperoptError(f"{graph} cannot be read: {error}") from None


def _pairs(values: Sequence[Floats]) -> list[KeyValue]:
    return list(zip(values[::2], values[1::2], strict=True))


def _pasts(kind: str, layers: Sequence[KeyValue]) -> dict[str, Floats]:
    return {
        f"past_{word}_{kind}_{index}": value
        for index, layer in enumerate(layers)
        for word, value in zip(("key", "value"), layer, strict=True)
    }


class FakeDecoder:
    """One encoded batch; what was seen grows by every step."""

    def __init__(self, session: FakeSession, hidden: Floats, heard: list[KeyValue]) -> None:
        """Start with no tokens."""
        self.session, self.hidden, self.heard = session, hidden, heard
        self.past = 0
        self.seen: list[KeyValue] = []
        self.reset()

    def reset(self) -> None:
        """Forget all tokens; the encoded audio stays."""
        dims = self.session.dims
        shape = (len(self.hidden), dims.decoder_kv_heads, 0, dims.head_size)
        empty = np.zeros(shape, np.float32)
        self.past, self.seen = 0, [(empty, empty)] * dims.decoder_layers

    def hidden_states(self) -> Floats:
        """Return the encoder output float32 [B, frames / 2, D]."""
        return self.hidden

    def step(self, ids: Tokens) -> Floats:
        """Append `ids` int32 [B, S]; return logits float32 [B, S, V]."""
        limits.check_room(self.past, ids.shape[1], self.session.dims.text_context)
        logits, self.seen = self.session.decoded(ids, self.seen, self.heard)
        self.past += ids.shape[1]
        return logits

    def step_last(self, ids: Tokens) -> Floats:
        """Append `ids` int32 [B, S]; return the logits of the last float32 [B, V]."""
        return self.step(ids)[:, -1]

    def reorder(self, rows: Tokens) -> None:
        """Let row i go on from what row `rows[i]` has seen and heard."""
        rows = limits.checked_rows(rows, len(self.hidden))
        self.hidden = self.hidden[rows]
        self.seen = [(keys[rows], values[rows]) for keys, values in self.seen]
        self.heard = [(keys[rows], values[rows]) for keys, values in self.heard]


class ScriptedSession:
    """Hears nothing; every window that is encoded gets the script's next line."""

    max_batch: int | None = None

    def __init__(self, artifact: Artifact, script: Sequence[str]) -> None:
        """Spell `script` in the artifact's own tokens."""
        from tokenizers import Tokenizer

        self.placement: dict[str, int] = {}
        self.dims, self.decoding = artifact.manifest.dims, artifact.manifest.decoding
        tokenizer = Tokenizer.from_file(str(artifact.tokenizer))
        end = [self.decoding.end_of_text]
        self._lines: Iterator[list[int]] = itertools.cycle(
            [tokenizer.encode(line, add_special_tokens=False).ids + end for line in script]
        )

    def encode(self, features: Floats, spans: Spans | None = None) -> Decoder:
        """Take the next line for every row of float32 [B, mels, frames]."""
        del spans
        return ScriptedDecoder(self, [next(self._lines) for _ in features])


class ScriptedDecoder:
    """Whatever it is prompted with, the next token is the line's."""

    def __init__(self, session: ScriptedSession, lines: list[list[int]]) -> None:
        """Write down `lines`, tokens of one row each."""
        self._session, self._lines = session, lines
        self.past = self._prompt = 0

    def reset(self) -> None:
        """Start the lines again."""
        self.past = self._prompt = 0

    def hidden_states(self) -> Floats:
        """Return zeros: nothing was heard."""
        dims = self._session.dims
        return np.zeros((len(self._lines), dims.audio_context, dims.width), np.float32)

    def step(self, ids: Tokens) -> Floats:
        """Append `ids` int32 [B, S]; the first ones are the prompt."""
        limits.check_room(self.past, ids.shape[1], self._session.dims.text_context)
        self._prompt = self._prompt or ids.shape[1]
        self.past += ids.shape[1]
        logits = np.zeros((*ids.shape, self._session.dims.vocabulary), np.float32)
        logits[:, :, list(self._session.decoding.languages.values())[:1]] = 0.5
        place = self.past - self._prompt
        for row, line in enumerate(self._lines):
            logits[row, -1, line[min(place, len(line) - 1)]] = 1.0
        return logits

    def reorder(self, rows: Tokens) -> None:
        """Let row i go on with the line of row `rows[i]`."""
        rows = limits.checked_rows(rows, len(self._lines))
        self._lines = [self._lines[row] for row in rows]


def transcriber(*lines: str) -> Transcriber:
    """Return what `whisperopt.load` returns, except that it hears `lines` in any audio.

    Each clip, and each chunk of a recording over 30 s, gets the next line, over and over. It knows
    English (which it always detects), German and French.
    """
    checkpoint = MadeCheckpoint(_LIKE_THE_PUBLISHED)
    backend = FakeBackend(lines or ("",))
    with TemporaryDirectory() as folder:
        artifact = describe(Path(folder), checkpoint, PLAIN, backend.name)
        session = backend.open(artifact)
        return Transcriber(artifact, session, ("a script, not a model",))
