"""Facts from tokenizers, whole or in the older three files."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.makers import tokenizer_json, write_vocabulary
from whisperopt.checkpoint import tokens
from whisperopt.errors import BadInputError, WhisperoptError

MARKS = ("startoftranscript", "en", "yue", "translate", "transcribe", "notimestamps")


def made(end: int, marks: tuple[str, ...] = MARKS) -> bytes:
    """Return the parts of a tokenizer that are read, `<|endoftext|>` at `end`."""
    added = [{"id": end, "content": "<|endoftext|>"}]
    added += [{"id": end + 1 + i, "content": f"<|{mark}|>"} for i, mark in enumerate(marks)]
    return json.dumps({"model": {"vocab": {"a": 0}}, "added_tokens": added}).encode()


def test_english_only_vocabulary_hides_its_languages() -> None:
    facts = tokens.read(made(50256), where="x")
    assert (facts.languages, facts.transcribe) == ({}, None)
    assert (facts.start_of_transcript, facts.no_timestamps) == (50257, 50262)


def test_multilingual_vocabulary_shows_its_languages() -> None:
    facts = tokens.read(made(50257), where="x")
    assert facts.languages == {"en": 50259, "yue": 50260}
    assert (facts.transcribe, facts.highest) == (50262, 50263)


def test_a_statement_wins_over_the_vocabulary() -> None:
    assert tokens.read(made(50256), where="x", multilingual=True).languages
    assert not tokens.read(made(50257), where="x", multilingual=False).languages
    without = made(300, ("startoftranscript", "notimestamps"))
    assert not tokens.read(without, where="x").languages
    with pytest.raises(BadInputError, match="no languages"):
        tokens.read(without, where="x", multilingual=True)


@pytest.mark.parametrize("mark", ["startoftranscript", "notimestamps"])
def test_a_missing_mark_is_named(mark: str) -> None:
    marks = tuple(other for other in MARKS if other != mark)
    with pytest.raises(BadInputError, match=rf"no <\|{mark}\|>"):
        tokens.read(made(300, marks), where="x")


@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_arbitrary_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(BadInputError, match=r"tokenizer\.json of x"):
        tokens.read(raw, where="x")


def test_three_files_make_the_same_tokenizer(tmp_path: Path) -> None:
    raw = tokenizer_json()
    write_vocabulary(tmp_path, raw)
    built = tokens.from_vocabulary(tmp_path)
    assert tokens.read(built, where="x") == tokens.read(raw, where="x")
    ours, theirs = Tokenizer.from_str(built.decode()), Tokenizer.from_str(raw.decode())
    text = " Grüße, 東京!<|de|>"
    assert ours.encode(text).ids == theirs.encode(text).ids
    assert ours.decode(ours.encode(text).ids) == theirs.decode(ours.encode(text).ids)


def test_timestamps_are_no_special_tokens(tmp_path: Path) -> None:
    write_vocabulary(tmp_path, tokenizer_json())
    path = tmp_path / "added_tokens.json"
    added = json.loads(path.read_text("utf-8"))
    stamps = {"<|0.00|>": 267, "<|0.02|>": 268}
    path.write_text(json.dumps(added | stamps), "utf-8")
    built = Tokenizer.from_str(tokens.from_vocabulary(tmp_path).decode())
    assert built.decode([257, 267, 64]) == "<|0.00|>" + built.decode([64])


@pytest.mark.parametrize("file", ["vocab.json", "merges.txt", "added_tokens.json"])
@pytest.mark.parametrize("content", ["{", '{"a": "b"}', "x y z\nq"])
def test_broken_files_are_refused_or_harmless(tmp_path: Path, file: str, content: str) -> None:
    write_vocabulary(tmp_path, tokenizer_json())
    (tmp_path / file).write_text(content, "utf-8")
    with suppress(WhisperoptError):
        tokens.from_vocabulary(tmp_path)


def test_a_gap_in_the_added_ids_is_refused(tmp_path: Path) -> None:
    write_vocabulary(tmp_path, tokenizer_json())
    (tmp_path / "added_tokens.json").write_text('{"<|endoftext|>": 256, "<|x|>": 300}', "utf-8")
    with pytest.raises(BadInputError, match=r"gap before <\|x\|> \(id 300\)"):
        tokens.from_vocabulary(tmp_path)
