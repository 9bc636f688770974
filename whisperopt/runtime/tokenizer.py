"""Turns tokens into text."""

from collections.abc import Sequence
from pathlib import Path

from whisperopt.errors import BadInputError


class Tokenizer:
    """The tokenizer of one model, read from its `tokenizer.json`."""

    def __init__(self, path: Path, end_of_text: int) -> None:
        """Read `path`; ids from `end_of_text` on are marks, not text."""
        from tokenizers import Tokenizer as Library

        try:
            self._library = Library.from_file(str(path))
        except Exception as error:  # noqa: BLE001  # the library raises plain Exception
            raise BadInputError(f"{path} cannot be read: {error}", "Fetch it again") from None
        self._end_of_text = end_of_text

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens` without marks and surrounding blanks."""
        words = [token for token in tokens if token < self._end_of_text]
        return str(self._library.decode(words, skip_special_tokens=True)).strip()
