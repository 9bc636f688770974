"""Listens to one batch of chunks with an opened session, and again where the text went astray."""

from collections.abc import Sequence
from typing import NamedTuple

from whisperopt.artifact import Artifact
from whisperopt.backend import Decoder, Session
from whisperopt.processes import available_bytes
from whisperopt.runtime import batches, chunks, context, greedy
from whisperopt.runtime.arrays import Floats
from whisperopt.runtime.repetition import astray
from whisperopt.runtime.tokenizer import Tokenizer
from whisperopt.whisper import joined


class Sound(NamedTuple):
    """Samples no longer than the window, and the language spoken if it is known."""

    samples: Floats
    language: str | None


class Heard(NamedTuple):
    """What was said; `astray` where it loops or does not end, however it was listened to."""

    text: str
    language: str
    retried: bool = False
    astray: bool = False


class Ear:
    """An opened artifact that listens to batches."""

    def __init__(self, artifact: Artifact, session: Session, tokenizer: Tokenizer) -> None:
        """Listen as the artifact's recipe says."""
        self._session = session
        self._dims, self._decoding = artifact.manifest.dims, artifact.manifest.decoding
        self._tail = artifact.manifest.recipe.audio_tail
        self._limit = self._dims.text_context // 2
        self._tokenizer = tokenizer

    @property
    def padded(self) -> bool:
        """Whether chunks are padded to the longest of their batch, not to the whole window."""
        return self._tail is not None

    def most(self, wished: int) -> int:
        """Return how many chunks the runtime and the memory let be heard at once of `wished`."""
        able = min(wished, self._session.max_batch or wished)
        return min(able, batches.fitting(self._dims, _free())) if able > 1 else able

    def listen(self, sounds: Sequence[Sound]) -> list[Heard]:
        """Return what is said in each of `sounds`; a text that goes astray is heard once more."""
        return [
            self._again(sound, one) if one.astray else one
            for sound, one in zip(sounds, self._listen(sounds, self._tail), strict=True)
        ]

    def _again(self, sound: Sound, first: Heard) -> Heard:
        """Listen in the whole window if that is news, and else, or if that is no better, in parts."""
        alone = sound._replace(language=first.language)
        second = self._listen([alone], None)[0] if self.padded else first
        if second.astray:
            second = self._in_parts(alone) or first
        return second._replace(retried=True)

    def _in_parts(self, sound: Sound) -> Heard | None:
        """Listen to what lies between pauses, a few seconds each; None where that goes astray."""
        longest = sound.samples.size * 2 // 3
        parts = [sound.samples[a:z] for a, z, _ in chunks.divide(sound.samples, longest)]
        heard = [self._listen([sound._replace(samples=part)], None)[0] for part in parts]
        if not heard or any(one.astray for one in heard):
            return None
        language = heard[0].language
        return Heard(joined((one.text for one in heard), language), language)

    def _listen(self, sounds: Sequence[Sound], tail: float | None) -> list[Heard]:
        features, spans = context.prepare([one.samples for one in sounds], self._dims, tail)
        decoder = context.encode(self._session, features, spans)
        languages = self._languages([one.language for one in sounds], decoder)
        prompts = [self._decoding.prompt(language) for language in languages]
        texts = greedy.decode(decoder, self._decoding, prompts, self._limit)
        return [
            Heard(self._tokenizer.decode(tokens), language, astray=astray(tokens, self._limit))
            for tokens, language in zip(texts, languages, strict=True)
        ]

    def _languages(self, named: Sequence[str | None], decoder: Decoder) -> list[str]:
        if not self._decoding.multilingual:
            return ["en"] * len(named)
        if all(named):
            return [language for language in named if language]
        found = greedy.detect_languages(decoder, self._decoding, len(named))
        return [a or b for a, b in zip(named, found, strict=True)]


def _free() -> int | None:
    """Return how many bytes of memory are free; None where the system does not say."""
    try:
        return available_bytes()
    except (OSError, RuntimeError, AttributeError):  # such as a sandbox that hides /proc
        return None
