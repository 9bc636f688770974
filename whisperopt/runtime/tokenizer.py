"""Turns tokens into text."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from whisperopt import documents
from whisperopt.errors import BadInputError
from whisperopt.reasons import because

_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_HIDDEN = sorted(set(range(256)) - set(_PRINTABLE))
_BYTES = {chr(byte): byte for byte in _PRINTABLE} | {
    chr(256 + place): byte for place, byte in enumerate(_HIDDEN)
}
"""Which byte a character of a token stands for: printable bytes for themselves, the others for
what follows Latin-1, in order (A. Radford et al., GPT-2, 2019)."""


class _Model(msgspec.Struct):
    type: Literal["BPE"]
    vocab: dict[str, int]


class _File(msgspec.Struct):
    """What is needed of a tokenizer of bytes; the library takes many times as long to read it."""

    model: _Model
    decoder: dict[str, Any]
    added_tokens: list[dict[str, Any]] = []


class Tokenizer:
    """The tokenizer of one model, read from its `tokenizer.json`."""

    def __init__(self, path: Path, end_of_text: int) -> None:
        """Read `path`; ids from `end_of_text` on are marks, not text."""
        self._decode = _decoder(path, end_of_text)
        self._end_of_text = end_of_text

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens` without marks and surrounding blanks."""
        return self._decode([token for token in tokens if token < self._end_of_text]).strip()


def _decoder(path: Path, end_of_text: int) -> Callable[[list[int]], str]:
    """Return what turns ids below `end_of_text` into text."""
    try:
        data = documents.content(path, documents.TOKENIZER)
    except (OSError, documents.UnfitError) as error:
        raise BadInputError(because("runtime.tokenizer", path, why=str(error))) from None
    try:
        found = documents.converted(data, _File)
    except documents.UnfitError:
        return _library(data, path)  # of another kind, or it says what is wrong
    of_bytes = found.decoder.get("type") == "ByteLevel"
    added = [token.get("id") for token in found.added_tokens]
    if not (of_bytes and all(isinstance(own, int) and own >= end_of_text for own in added)):
        return _library(data, path)
    words = {token: word for word, token in found.model.vocab.items()}
    return lambda ids: b"".join(_spelled(words.get(token, "")) for token in ids).decode(
        "utf-8", "replace"
    )


def _spelled(word: str) -> bytes:
    """Return the bytes of a token; one with any other character stands for itself."""
    try:
        return bytes([_BYTES[letter] for letter in word])
    except KeyError:
        return word.encode()


def _library(data: bytes, path: Path) -> Callable[[list[int]], str]:
    from tokenizers import Tokenizer as Library

    try:
        documents.check(data, documents.TOKENIZER)  # what nests deep would end this process
        library = Library.from_buffer(data)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # it raises plain Exception, and Rust's panics
        raise BadInputError(because("runtime.tokenizer", path, why=str(error))) from None
    return lambda ids: str(library.decode(ids, skip_special_tokens=True))
