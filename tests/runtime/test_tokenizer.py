"""Tokens become text without marks."""

import pytest

from tests.makers import tokenizer_json
from whisperopt.runtime.tokenizer import Tokenizer


@pytest.fixture
def tokenizer(tmp_path) -> Tokenizer:
    """A tokenizer whose ids below 256 are bytes, and from 256 on marks."""
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizer_json())
    return Tokenizer(path, 256)


def encode(text: str, tmp_path) -> list[int]:
    """Return the ids of `text`, one a byte."""
    from tokenizers import Tokenizer as Library

    return Library.from_file(str(tmp_path / "tokenizer.json")).encode(text).ids


@pytest.mark.parametrize("text", ["Hello, world!", "Grüße aus 東京", "a  b"])
def test_text_is_what_was_encoded(text: str, tokenizer: Tokenizer, tmp_path) -> None:
    assert tokenizer.decode(encode(text, tmp_path)) == text


def test_marks_and_surrounding_blanks_are_dropped(tokenizer: Tokenizer, tmp_path) -> None:
    assert tokenizer.decode([257, *encode("  hi ", tmp_path), 256]) == "hi"


def test_no_tokens_are_no_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([]) == ""


def test_character_cut_in_the_middle_does_not_fail(tokenizer: Tokenizer, tmp_path) -> None:
    assert tokenizer.decode(encode("ü", tmp_path)[:1]) == "\N{REPLACEMENT CHARACTER}"
