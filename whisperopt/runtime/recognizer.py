"""From samples to words with an opened session: what users run, and what is proven and timed.

`prepare -> encode -> decode -> text`, and once more by other means where the text degenerates.
"""

from collections.abc import Sequence
from typing import NamedTuple

from whisperopt.artifact import Artifact
from whisperopt.backend import Decoder, Session
from whisperopt.host.memory import available_bytes
from whisperopt.runtime import chunks, greedy, mel
from whisperopt.runtime.arrays import Floats
from whisperopt.runtime.greedy import degenerate
from whisperopt.runtime.tokenizer import Tokenizer
from whisperopt.whisper import Dimensions, joined

_ALIKE = 0.6
"""The shortest chunk of a batch, as a share of the longest."""
_SHARE = 4
"""A batch takes at most this part of the free memory: estimates err, and others run here, too."""
_FLOAT = 4


def plan(lengths: Sequence[int], most: int, *, padded: bool) -> list[list[int]]:
    """Return the places of `lengths` in batches of at most `most`.

    Where chunks are `padded` to the longest of their batch, the longest come first, and a batch
    also ends before a chunk that is much shorter. Where each is padded to the window anyway,
    they stay in order.
    """
    places = sorted(range(len(lengths)), key=lambda place: -lengths[place] if padded else 0)
    batches: list[list[int]] = []
    for place in places:
        batch = batches[-1] if batches else []
        alike = batch and (not padded or lengths[place] >= _ALIKE * lengths[batch[0]])
        if alike and len(batch) < most:
            batch.append(place)
        else:
            batches.append([place])
    return batches


def window_bytes(dims: Dimensions) -> int:
    """Return what one window takes beside the weights, in bytes of fp32: more than in most forms.

    That is the decoder's keys and values of the audio and of the text, one encoder layer's
    attention scores and what its feed-forward network holds between its two matrices.
    """
    positions = dims.audio_context
    heads = dims.decoder_layers * dims.head_size
    cross = 2 * heads * dims.decoder_heads * positions
    own = 2 * heads * dims.decoder_kv_heads * dims.text_context
    scores = dims.encoder_heads * positions**2
    return _FLOAT * (cross + own + scores + positions * dims.encoder_ffn)


def fitting(dims: Dimensions, free: int) -> int:
    """Return how many windows fit in a share of `free` bytes, at least one."""
    return max(1, free // _SHARE // window_bytes(dims))


class AudioChunk(NamedTuple):
    """Samples no longer than the window, and the language spoken if it is known."""

    samples: Floats
    language: str | None


class Hypothesis(NamedTuple):
    """What was said; `degenerate` where the text loops or does not end, however it was decoded."""

    text: str
    language: str
    tokens: Sequence[int] = ()
    degenerate: bool = False
    fallback: bool = False
    """Whether this is of fallback decoding, since the first hypothesis degenerated."""


class Recognizer:
    """An opened artifact that turns batches of audio into words."""

    def __init__(
        self, artifact: Artifact, session: Session, tokenizer: Tokenizer | None = None
    ) -> None:
        """Decode as the artifact's recipe says."""
        self.session = session
        self.dims, self.decoding = artifact.manifest.dims, artifact.manifest.decoding
        self.tail = artifact.manifest.recipe.audio_tail
        self._limit = self.dims.text_context // 2
        self._tokenizer = tokenizer or Tokenizer(artifact.tokenizer, self.decoding.end_of_text)

    @property
    def padded(self) -> bool:
        """Whether chunks are padded to the longest of their batch, not to the whole window."""
        return self.tail is not None

    def most(self, wished: int) -> int:
        """Return how many chunks the runtime and the memory let be decoded at once of `wished`."""
        able = min(wished, self.session.max_batch or wished)
        return min(able, fitting(self.dims, available_bytes())) if able > 1 else able

    def recognize(self, audio: Sequence[AudioChunk]) -> list[Hypothesis]:
        """Return what is said in each chunk; a text that degenerates is decoded by other means."""
        return [
            self._fallback(chunk, first) if first.degenerate else first
            for chunk, first in zip(audio, self._first(audio, self.tail), strict=True)
        ]

    def encode(self, samples: Sequence[Floats], tail: float | None) -> Decoder:
        """Encode `samples` with a `tail` of seconds behind them, or padded to the whole window."""
        return mel.encode(self.session, *mel.prepare(samples, self.dims, tail))

    def decode(self, decoder: Decoder, languages: Sequence[str | None]) -> list[Hypothesis]:
        """Return the greedy hypotheses of what was encoded; an unknown language is detected."""
        known = self._languages(languages, decoder)
        prompts = [self.decoding.prompt(language) for language in known]
        return [
            Hypothesis(
                self._tokenizer.decode(tokens), language, tokens, degenerate(tokens, self._limit)
            )
            for tokens, language in zip(
                greedy.decode(decoder, self.decoding, prompts, self._limit), known, strict=True
            )
        ]

    def _first(self, audio: Sequence[AudioChunk], tail: float | None) -> list[Hypothesis]:
        decoder = self.encode([chunk.samples for chunk in audio], tail)
        return self.decode(decoder, [chunk.language for chunk in audio])

    def _fallback(self, chunk: AudioChunk, first: Hypothesis) -> Hypothesis:
        """Decode the whole window if that is news; else, or if it is no better, part by part.

        A part of a few seconds lies between two pauses.
        """
        alone = chunk._replace(language=first.language)
        second = self._first([alone], None)[0] if self.padded else first
        if second.degenerate:
            longest = chunk.samples.size * 2 // 3
            parts = [chunk.samples[a:z] for a, z, _ in chunks.divide(chunk.samples, longest)]
            found = [self._first([alone._replace(samples=part)], None)[0] for part in parts]
            second = first
            if found and not any(part.degenerate for part in found):
                text = joined((part.text for part in found), first.language)
                second = Hypothesis(text, found[0].language)
        return second._replace(fallback=True)

    def _languages(self, named: Sequence[str | None], decoder: Decoder) -> list[str]:
        if not self.decoding.multilingual:
            return ["en"] * len(named)
        if all(named):
            return [language for language in named if language]
        found = greedy.detect_languages(decoder, self.decoding, len(named))
        return [a or b for a, b in zip(named, found, strict=True)]
