"""Turns recordings into transcripts with an opened session."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np

from whisperopt.arrays import Floats
from whisperopt.artifact import Artifact
from whisperopt.backend import Session
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.matrix import nearest
from whisperopt.runtime import audio, greedy, mel
from whisperopt.runtime.tokenizer import Tokenizer
from whisperopt.whisper import SAMPLE_RATE

Opened: TypeAlias = tuple[Artifact, Session, str]
"""An artifact, a session on it, and why it was chosen."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The text of one window; times in seconds."""

    start: float
    end: float
    text: str


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """What was said."""

    text: str
    language: str
    segments: tuple[Segment, ...]
    seconds: float
    """Length of the audio."""
    notes: tuple[str, ...] = ()
    """What the caller should know about how it was made."""


class Transcriber:
    """One model, ready to listen.

    `decisions` tells why this variant was chosen and which ones were passed over. A runtime that
    breaks on the way, such as a GPU that disappears, gives way to the next variant.
    """

    def __init__(
        self,
        artifact: Artifact,
        session: Session,
        decisions: tuple[str, ...] = (),
        spare: Iterable[Opened] = (),
        refused: Sequence[str] = (),
    ) -> None:
        """Listen with `session`, opened from `artifact`, and with `spare` ones if it breaks.

        `refused` grows by a reason for every spare one that does not open.
        """
        self.artifact, self.session, self.decisions = artifact, session, decisions
        self._spare, self._refused = iter(spare), refused
        self._dims = artifact.manifest.dims
        self._decoding = artifact.manifest.decoding
        self._tokenizer = Tokenizer(artifact.tokenizer, self._decoding.end_of_text)

    def transcribe(self, source: str | Path | Floats, language: str | None = None) -> Transcript:
        """Transcribe a file, or float32 samples in -1..1 at 16 kHz.

        `language` is a code such as `de`; without it a multilingual model listens for it in the
        first window. Recordings over 30 s are cut into windows of 30 s, which can split a word.
        """
        self._check_language(language)
        if isinstance(source, str | Path):
            name, samples = str(source), audio.read(Path(source))
        else:
            name, samples = "the audio", _floats(source)
        audio.check(samples, name)
        segments, before = [], self.decisions
        for index, window in enumerate(audio.windows(samples, self._dims.window)):
            text = ""
            if audio.audible(window):
                text, language = self._window(window, language)
            start = index * self._dims.window / SAMPLE_RATE
            segments.append(Segment(start=start, end=start + window.size / SAMPLE_RATE, text=text))
        gave_way = self.decisions[1:2] if self.decisions is not before else ()
        return Transcript(
            text=" ".join(segment.text for segment in segments if segment.text),
            language=language or "en",
            segments=tuple(segments),
            seconds=samples.size / SAMPLE_RATE,
            notes=(*_notes(name, len(segments), self._dims.window / SAMPLE_RATE), *gave_way),
        )

    def _window(self, samples: Floats, language: str | None) -> tuple[str, str | None]:
        features = mel.log_mel(samples, self._dims.mels, self._dims.frames)
        while True:
            try:
                return self._decode(features, language)
            except Exception as error:  # noqa: BLE001  # runtimes' own errors have no common class
                self._give_way(error)

    def _give_way(self, error: Exception) -> None:
        """Go on with the next variant, or raise `WhisperoptError` if there is none."""
        said = error.problem if isinstance(error, WhisperoptError) else str(error)
        first_line = (said.strip() or type(error).__name__).splitlines()[0]
        broken = f"{self.artifact.manifest.variant} stopped working: {first_line}"
        known = len(self._refused)
        opened = next(self._spare, None)
        refused = self._refused[known:]
        if opened is None:
            raise WhisperoptError(
                "; ".join((broken, *refused)), "`whisperopt doctor` says more"
            ) from None
        self.artifact, self.session, chosen = opened
        self.decisions = (chosen, broken, *refused, *self.decisions[1:])

    def _decode(self, features: Floats, language: str | None) -> tuple[str, str | None]:
        decoder = self.session.encode(features[None])
        if self._decoding.multilingual and language is None:
            (language,) = greedy.detect_languages(decoder, self._decoding, 1)
        prompt = self._decoding.prompt(language)
        (tokens,) = greedy.decode(decoder, self._decoding, [prompt], self._dims.text_context // 2)
        return self._tokenizer.decode(tokens), language

    def _check_language(self, language: str | None) -> None:
        known = self._decoding.languages if self._decoding.multilingual else {"en": 0}
        if language is not None and language not in known:
            raise BadInputError(
                f"{self.artifact.manifest.model} does not know the language {language!r}",
                nearest(language, known) if len(known) > 1 else "It only knows English: en",
            )


def _floats(samples: Floats) -> Floats:
    if not np.issubdtype(np.asarray(samples).dtype, np.floating):
        raise BadInputError(
            f"The audio is an array of {np.asarray(samples).dtype}", "Scale it to floats in -1..1"
        )
    return np.asarray(samples, np.float32)


def _notes(name: str, windows: int, seconds: float) -> tuple[str, ...]:
    if windows == 1:
        return ()
    note = (
        f"{name} is longer than {seconds:g} s: proper long-form decoding comes later; it was cut"
        f" into {windows} windows of {seconds:g} s, which can split words"
    )
    return (note,)
