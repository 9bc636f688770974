"""What there is to know about one Whisper model apart from its weights."""

import tomllib
from collections.abc import Iterable
from importlib import resources

import msgspec

SAMPLE_RATE = 16_000
"""Samples per second that Whisper listens at."""
HOP_LENGTH = 160
"""Samples between two log-mel frames."""
LANGUAGES: dict[str, str] = tomllib.loads(
    resources.files("whisperopt").joinpath("languages.toml").read_text("utf-8")
)
"""Code and English name of each language that a Whisper model may know, in their tokens' order."""
UNSPACED = frozenset(("zh", "yue", "ja", "th", "lo", "my", "km"))
"""Languages that write no spaces between words.

Chinese, Japanese, Thai, Lao and Burmese as in the Whisper paper (Radford et al. 2022, appendix C);
Cantonese, which came later and which Whisper's own word splitting counts among them; and Khmer,
whose spaces part phrases.
"""
_LARGEST = 10_000_000
"""Of any size of a network."""
_THEIR_FIRST = "\u0e01"
"""No letter of their scripts comes before it in Unicode; Latin, Greek, Cyrillic and Arabic do."""


def joined(texts: Iterable[str], language: str) -> str:
    """Put `texts`, said one after another, together as `language` writes.

    With a space, but for `UNSPACED` languages: there only between what is foreign on both sides,
    such as two English words. Blanks at the ends of a text do not count: models that were tuned
    begin no text with the space that OpenAI's do.
    """
    whole = ""
    for text in filter(None, map(str.strip, texts)):
        foreign = whole[-1:] < _THEIR_FIRST and text[0] < _THEIR_FIRST
        apart = whole and (foreign or language not in UNSPACED)
        whole += f" {text}" if apart else text
    return whole


class Dimensions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sizes of the two networks; all follow from the weights' shapes except the head counts."""

    mels: int
    width: int
    vocabulary: int
    audio_context: int
    text_context: int
    encoder_layers: int
    encoder_heads: int
    encoder_ffn: int
    decoder_layers: int
    decoder_heads: int
    decoder_kv_heads: int
    decoder_ffn: int

    @property
    def head_size(self) -> int:
        """Channels of one attention head, the same in encoder and decoder."""
        return self.width // self.decoder_heads

    @property
    def frames(self) -> int:
        """Log-mel frames in one window: the encoder's second convolution halves them."""
        return 2 * self.audio_context

    @property
    def window(self) -> int:
        """Samples that the encoder hears at once: 30 s in every model that OpenAI published."""
        return self.frames * HOP_LENGTH

    def check(self) -> str | None:
        """Return why these sizes cannot be a Whisper model, or None."""
        for name in self.__struct_fields__:
            if not 0 < getattr(self, name) <= _LARGEST:
                return f"{name} is not between 1 and {_LARGEST}"
        if self.width % self.encoder_heads or self.width % self.decoder_heads:
            return f"width {self.width} is not a multiple of the number of heads"
        if self.decoder_heads % self.decoder_kv_heads:
            heads, kv_heads = self.decoder_heads, self.decoder_kv_heads
            return f"{heads} decoder heads cannot share {kv_heads} key/value heads"
        if self.head_size % 8:
            return f"head size {self.head_size} is not a multiple of 8"
        return None


class Decoding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The token ids that steer decoding, and the heads that know about time."""

    start_of_transcript: int
    end_of_text: int
    no_timestamps: int
    transcribe: int | None
    languages: dict[str, int]
    suppress: list[int]
    suppress_first: list[int]
    alignment_heads: list[tuple[int, int]]

    @property
    def multilingual(self) -> bool:
        """Whether the prompt names a language and a task."""
        return bool(self.languages) and self.transcribe is not None

    @property
    def known_languages(self) -> frozenset[str]:
        """The codes of the languages that the model understands."""
        return frozenset(self.languages) if self.multilingual else frozenset({"en"})

    def check(self, dims: Dimensions) -> str | None:
        """Return which token id the vocabulary does not have, or None."""
        ids = [
            *(self.start_of_transcript, self.end_of_text, self.no_timestamps),
            *([] if self.transcribe is None else [self.transcribe]),
            *(*self.languages.values(), *self.suppress, *self.suppress_first),
        ]
        wrong = next((token for token in ids if not 0 <= token < dims.vocabulary), None)
        return None if wrong is None else f"the vocabulary has no token {wrong}"

    def prompt(self, language: str | None) -> list[int]:
        """Return the ids that open a transcript without timestamps.

        `language` is a code such as `de`; English-only models take None or `en`.
        """
        if not self.multilingual or self.transcribe is None:
            return [self.start_of_transcript, self.no_timestamps]
        token = self.languages[language or "en"]
        return [self.start_of_transcript, token, self.transcribe, self.no_timestamps]
