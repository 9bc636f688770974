"""Tokens become text without marks."""

import numpy as np
import pytest

from tests.makers import tokenizer_json
from whisperopt.errors import BadInputError
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


def test_text_is_what_the_library_makes_of_any_bytes(tokenizer: Tokenizer, tmp_path) -> None:
    from tokenizers import Tokenizer as Library

    library = Library.from_file(str(tmp_path / "tokenizer.json"))
    random = np.random.default_rng(0)
    for length in (1, 2, 3, 40) * 20:
        ids = random.integers(0, 256, length).tolist()
        assert tokenizer.decode(ids) == library.decode(ids).strip()


def test_a_tokenizer_of_another_kind_is_left_to_the_library(tmp_path) -> None:
    from tokenizers import Tokenizer as Library
    from tokenizers import models

    path = tmp_path / "tokenizer.json"
    Library(models.WordLevel({"hello": 0, "[UNK]": 1}, "[UNK]")).save(str(path))
    assert Tokenizer(path, 2).decode([0]) == "hello"


def test_a_damaged_tokenizer_is_named(tmp_path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(b"\xff{")
    with pytest.raises(BadInputError, match=r"tokenizer\.json cannot be read"):
        Tokenizer(path, 2)
