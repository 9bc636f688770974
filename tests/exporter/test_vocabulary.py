"""The tokenizer as graphs: the same tokens and the same text as the tokenizers library."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from whisperopt.errors import BadInputError
from whisperopt.exporter.settings import specials, write_tokenizer

pytest.importorskip("openvino_tokenizers", reason="pip install 'whisperopt[export]'")

MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("Ã", "¤")]
MARKS = ("endoftext", "startoftranscript", "de", "transcribe")
END = 256 + len(MERGES)


def merged() -> bytes:
    """Return a byte-level tokenizer with a few merges; `<|0.00|>` is added, but not special."""
    vocabulary_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary_ += ["".join(pair) for pair in MERGES]
    ids = {token: number for number, token in enumerate(vocabulary_)}
    tokenizer = Tokenizer(models.BPE(ids, MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(f"<|{m}|>", normalized=False) for m in MARKS])
    tokenizer.add_tokens([AddedToken("<|0.00|>", normalized=False)])
    return tokenizer.to_str().encode()


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both graphs of that tokenizer, compiled."""
    import openvino as ov

    folder = tmp_path_factory.mktemp("vocabulary")
    write_tokenizer(folder, merged(), END)
    core = ov.Core()
    words = ("tokenizer", "detokenizer")
    return {word: core.compile_model(folder / f"openvino_{word}.xml", "CPU") for word in words}


@pytest.fixture(scope="module")
def library() -> Tokenizer:
    """The library's own."""
    return Tokenizer.from_str(merged().decode())


@pytest.mark.parametrize(
    "text", [" the end", "naïve", "the<|de|> the", "  two  spaces ", "ä1234, don't", "日本"]
)
def test_text_becomes_the_same_tokens(
    text: str, converted: dict[str, Any], library: Tokenizer
) -> None:
    found = converted["tokenizer"]([text])["input_ids"][0].tolist()
    assert found == library.encode(text, add_special_tokens=False).ids


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1, max_size=20))
def test_tokens_become_the_same_text(
    converted: dict[str, Any], library: Tokenizer, text: str
) -> None:
    tokens = library.encode(text + "<|endoftext|><|0.00|>", add_special_tokens=False).ids
    found = converted["detokenizer"](np.array([tokens], np.int64))["string_output"][0]
    assert found == library.decode(tokens, skip_special_tokens=True)
    assert found == text + "<|0.00|>"


def test_the_tokenizer_gives_tokens_and_their_mask(converted: dict[str, Any]) -> None:
    outputs = converted["tokenizer"].outputs
    assert [port.get_any_name() for port in outputs] == ["input_ids", "attention_mask"]


def test_marks_have_ids() -> None:
    marks = specials(merged())
    assert marks["<|endoftext|>"] == END
    assert "the" not in marks


def test_another_kind_of_tokenizer_is_refused(tmp_path: Path) -> None:
    document = json.loads(merged())
    document["pre_tokenizer"] = {"type": "Whitespace"}
    with pytest.raises(BadInputError, match="no byte-level BPE but Whitespace BPE"):
        write_tokenizer(tmp_path, json.dumps(document).encode(), END)
