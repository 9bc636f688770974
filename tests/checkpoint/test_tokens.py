"""Facts from tokenizers, whole or in the older three files."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tokenizers import Tokenizer

from tests.makers import tokenizer_json, write_vocabulary
from whisperopt.checkpoint import tokens
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.testing.made import TINY
from whisperopt.whisper import Decoding

MARKS = ("startoftranscript", "en", "yue", "translate", "transcribe", "notimestamps")


def made(end: int, marks: tuple[str, ...] = MARKS) -> bytes:
    """Return the parts of a tokenizer that are read, `<|endoftext|>` at `end`."""
    added = [{"id": end, "content": "<|endoftext|>"}]
    added += [{"id": end + 1 + i, "content": f"<|{mark}|>"} for i, mark in enumerate(marks)]
    return json.dumps({"model": {"vocab": {"a": 0}}, "added_tokens": added}).encode()


def facts(tokenizer: bytes, *, rows: int = 60_000, multilingual: bool | None = None) -> Decoding:
    """Read what steers decoding from a tokenizer alone."""
    dims = replace(TINY, vocabulary=rows)
    return tokens.decoding(tokenizer, dims, tokens.Stated(multilingual=multilingual), where="x")


def test_english_only_vocabulary_hides_its_languages() -> None:
    found = facts(made(50256))
    assert (found.languages, found.transcribe) == ({}, None)
    assert (found.start_of_transcript, found.no_timestamps) == (50257, 50262)


def test_multilingual_vocabulary_shows_its_languages() -> None:
    found = facts(made(50257))
    assert found.languages == {"en": 50259, "yue": 50260}
    assert found.transcribe == 50262
    assert facts(made(50257), rows=50264) == found
    with pytest.raises(BadInputError, match="50263"):
        facts(made(50257), rows=50263)


def test_a_statement_wins_over_the_vocabulary() -> None:
    assert facts(made(50256), multilingual=True).languages
    assert not facts(made(50257), multilingual=False).languages
    without = made(300, ("startoftranscript", "notimestamps"))
    assert not facts(without).languages
    with pytest.raises(BadInputError, match="no languages"):
        facts(without, multilingual=True)


@pytest.mark.parametrize("mark", ["startoftranscript", "notimestamps"])
def test_a_missing_mark_is_named(mark: str) -> None:
    marks = tuple(other for other in MARKS if other != mark)
    with pytest.raises(BadInputError, match=rf"no <\|{mark}\|>"):
        facts(made(300, marks))


@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_arbitrary_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(BadInputError, match=r"tokenizer\.json of x"):
        facts(raw)


def test_three_files_make_the_same_tokenizer(tmp_path: Path) -> None:
    raw = tokenizer_json()
    write_vocabulary(tmp_path, raw)
    built = tokens.from_vocabulary(tmp_path)
    assert facts(built) == facts(raw)
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
