"""A complete backend without a runtime: onnx's own NumPy computes, or it says what it is told to."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt.artifact import Artifact
from whisperopt.backend import Probe, Recipe, Session
from whisperopt.errors import WhisperoptError
from whisperopt.ort_backend import OnnxBackend
from whisperopt.runtime import limits
from whisperopt.runtime.arrays import Floats, Spans, Tokens
from whisperopt.runtime.transcriber import Transcriber
from whisperopt.testing.made import TINY, MadeCheckpoint, describe

if TYPE_CHECKING:
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
_LIKE_THE_PUBLISHED = msgspec.structs.replace(TINY, mels=80, audio_context=1500, text_context=448)
Arrays: TypeAlias = list[npt.NDArray[Any]]
"""Whatever a decoder goes on from, a row for each of the batch."""


class _Settings(OnnxBackend, frozen=True, kw_only=True):
    """What a fake may be told by name."""

    name: str = "fake"
    runtime: str = "numpy"
    extra: str = "build"
    ladder: tuple[Recipe, ...] = (PLAIN,)
    unavailable: str = ""
    """Why it cannot run here, if it shall not."""
    refusal: str = ""
    """Why it opens nothing, if it shall not."""
    max_batch: int | None = None


class FakeBackend(_Settings, frozen=True):
    """A backend that is always there, the same every time, and fails only when it is told to.

    Its sessions compute as onnx defines its operators; those of a backend with a script hear nothing
    and write down its lines in turn, one for each window of audio, over and over.
    """

    script: Sequence[str] = ()

    def probe(self) -> Probe:
        """Be ready, unless told otherwise."""
        remedy = "Make another FakeBackend" if self.unavailable else ""
        reason = self.unavailable or None
        return Probe(runtime=self.runtime, version=np.__version__, reason=reason, remedy=remedy)

    def capabilities(self) -> "CapabilityTable":
        """Return the standard operators of a decomposed model, in fp32."""
        from whisperopt.static_checks.capability import CapabilityTable, Operator

        operator = Operator(dtypes=("float32", "int64", "int32", "bool"))
        return CapabilityTable(
            runtime="NumPy",
            version=np.__version__,
            max_opset=24,
            missing="this fake computes no {op}",
            source="onnx.reference",
            ops=dict.fromkeys(_OPERATORS, operator),
        )

    def open(self, artifact: Artifact, *, threads: int | None = None) -> Session:
        """Open what `build` wrote; with a script, anything that has a tokenizer."""
        del threads  # NumPy decides
        if self.refusal:
            raise WhisperoptError(self.refusal)
        if self.script:
            return ScriptedSession(artifact, self.script)
        return FakeSession(artifact, self.max_batch)


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

    def heard(self, features: Floats) -> tuple[Floats, Arrays]:
        """Return hidden states [B, frames / 2, D] and what the decoder reads of them.

        Those are keys and values of each layer in turn, float32 [B, H, L, Dh].
        """
        hidden, *heard = self._encoder.run(None, {"audio_features": features})
        return hidden, heard

    def decoded(self, ids: Tokens, seen: Arrays, heard: Arrays) -> tuple[Floats, Arrays]:
        """Return logits [B, S, V] of `ids` [B, S], and what was `seen` with them added to it."""
        if not seen:
            shape = (len(ids), self.dims.decoder_kv_heads, 0, self.dims.head_size)
            seen = [np.zeros(shape, np.float32)] * (2 * self.dims.decoder_layers)
        feeds = zip(self._decoder.input_names, [ids, *seen, *heard], strict=True)
        logits, *seen = self._decoder.run(None, dict(feeds))
        return logits, seen


def _evaluator(graph: Path) -> Any:
    from onnx.reference import ReferenceEvaluator

    try:
        return ReferenceEvaluator(str(graph))
    except Exception as error:  # noqa: BLE001  # protobuf's, onnx's and the system's
        raise WhisperoptError(f"{graph} cannot be read: {error}") from None


class ScriptedSession(FakeSession):
    """Hears nothing; every window that is encoded gets the script's next line."""

    def __init__(self, artifact: Artifact, script: Sequence[str]) -> None:
        """Spell `script` in the artifact's own tokens."""
        from tokenizers import Tokenizer

        self.max_batch, self.placement = None, {}
        self.dims, self.decoding = artifact.manifest.dims, artifact.manifest.decoding
        tokenizer = Tokenizer.from_file(str(artifact.tokenizer))
        lines = [tokenizer.encode(line, add_special_tokens=False).ids for line in script]
        self._lines: Iterator[list[int]] = itertools.cycle(lines)

    def heard(self, features: Floats) -> tuple[Floats, Arrays]:
        """Take the next line for every row of float32 [B, mels, frames]: tokens [B, text context]."""
        lines = np.full((len(features), self.dims.text_context), self.decoding.end_of_text)
        for row, line in zip(lines, self._lines, strict=False):
            row[: len(line)] = line[: row.size]
        shape = (len(features), self.dims.audio_context, self.dims.width)
        return np.zeros(shape, np.float32), [lines]

    def decoded(self, ids: Tokens, seen: Arrays, heard: Arrays) -> tuple[Floats, Arrays]:
        """Return logits of what is next in the lines; the first `ids` are the prompt."""
        place = seen[0] + ids.shape[1] if seen else np.zeros(len(ids), np.int64)
        logits = np.zeros((*ids.shape, self.dims.vocabulary), np.float32)
        logits[:, :, list(self.decoding.languages.values())[:1]] = 0.5
        rows = np.arange(len(ids))
        logits[rows, -1, heard[0][rows, place]] = 1.0
        return logits, [place]


class FakeDecoder:
    """One encoded batch; what was seen grows by every step."""

    def __init__(self, session: FakeSession, hidden: Floats, heard: Arrays) -> None:
        """Start with no tokens."""
        self.session, self.hidden, self.heard = session, hidden, heard
        self.past = 0
        self.seen: Arrays = []

    def reset(self) -> None:
        """Forget all tokens; the encoded audio stays."""
        self.past, self.seen = 0, []

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
        self.seen = [values[rows] for values in self.seen]
        self.heard = [values[rows] for values in self.heard]


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
