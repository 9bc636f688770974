"""Files that claim to be evidence: whatever they hold, they are evidence or refused in a sentence."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluate import forged
from tests.evaluate.forged import Tree
from whisperopt.errors import BadInputError
from whisperopt.evaluate.admission import document, parse


def refusal(path: Path) -> str:
    """Return the sentence with which `path` is refused: one line that names it and a remedy."""
    with pytest.raises(BadInputError) as caught:
        parse(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert caught.value.remedy
    assert sentence.isprintable()
    assert len(sentence) < 600
    return sentence


@pytest.fixture
def wrong(tmp_path: Path) -> Callable[[bytes | str | Tree], str]:
    """Write something and return why it is refused."""

    def write(content: bytes | str | Tree) -> str:
        path = tmp_path / "e.json"
        text = json.dumps(content) if isinstance(content, dict) else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return refusal(path)

    return write


Wrong = Callable[[bytes | str | Tree], str]


def honest(**changes: Any) -> Tree:
    """Return the JSON of honest evidence, changed at the top."""
    return forged.tree(forged.honest()) | changes


def with_sample(**changes: Any) -> Tree:
    """Return the JSON of honest evidence, its third sample changed."""
    tree = honest()
    tree["samples"][2] |= changes
    return tree


def test_honest_evidence_is_read_whole(tmp_path: Path) -> None:
    for made in (forged.honest(), forged.emulated()):
        (tmp_path / "e.json").write_bytes(msgspec.json.encode(made))
        assert parse(tmp_path / "e.json") == made


def test_a_file_that_is_absent_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "absent.json")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_a_device_that_never_ends_is_not_read() -> None:
    assert "not a plain file" in refusal(Path("/dev/zero"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a plain file" in refusal(tmp_path / "pipe")


def test_a_file_beyond_the_cap_is_refused(wrong: Wrong) -> None:
    assert "larger than 10 MB" in wrong(b" " * (document.MAX_BYTES + 1))


def test_a_million_entries_are_refused(wrong: Wrong) -> None:
    tree = honest()
    assert "has 1,000,000 entries" in wrong(with_sample(tokens=[1] * 1_000_000))
    assert "missing required field" in wrong(honest(samples=[{}] * 1_000_000))
    assert "larger than 10 MB" in wrong(honest(samples=tree["samples"] * 4_000))


@pytest.mark.parametrize("key", ["samples", "tokens", "laps", "placement", "cpu_features"])
def test_a_list_beyond_the_cap_is_refused(wrong: Wrong, key: str) -> None:
    tree = honest()
    many: dict[str, Callable[[], object]] = {
        "samples": lambda: tree.update(samples=tree["samples"][:1] * 11_001),
        "tokens": lambda: tree["samples"][1].update(tokens=[1] * 11_001),
        "laps": lambda: tree["race"].update(laps=tree["race"]["laps"][:1] * 11_001),
        "placement": lambda: tree.update(placement={f"P{i}": 1 for i in range(11_001)}),
        "cpu_features": lambda: tree["host"].update(cpu_features=["avx"] * 11_001),
    }
    many[key]()
    sentence = wrong(tree)
    assert "has 11,001 entries" in sentence
    assert key in sentence


def test_an_endless_text_is_refused(wrong: Wrong) -> None:
    assert "samples[2].text has more than 20,000" in wrong(with_sample(text="a" * 20_001))


def test_what_is_not_json_is_refused(wrong: Wrong) -> None:
    for text in ("", "hello", "{", '{"schema": "1.1"', json.dumps(honest()) + "x", "\ufeff{}"):
        assert "is not evidence" in wrong(text)


def test_what_is_not_utf_8_is_refused(wrong: Wrong) -> None:
    assert "is not UTF-8 text: byte 12 " in wrong(b'{"schema": "\xff"}')
    assert "is not UTF-8" in wrong(json.dumps(honest()).encode("utf-16"))


def test_what_is_no_object_is_refused(wrong: Wrong) -> None:
    for text in ("null", "[]", "7", '"evidence"', "[" + "{}," * 3_000_000 + "{}]"):
        assert "is not evidence" in wrong(text)


@pytest.mark.parametrize("place", ["", '{"schema": ', '{"schema": "1.1", "x": '])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_refused(wrong: Wrong, place: str, opening: str) -> None:
    assert "is not evidence" in wrong(place + opening * 1_000_000)


def test_another_schema_is_refused_by_both_names(wrong: Wrong) -> None:
    for schema in ("1.0", "1.2", "2.0", "next"):
        sentence = wrong(honest(schema=schema))
        assert repr(schema) in sentence
        assert "'1.1'" in sentence
    assert "schema" in wrong({"variant": "cpu-gqa-fp32"})
    assert "`str`, got `int`" in wrong(honest(schema=1))


def test_an_unknown_key_is_refused_by_name(wrong: Wrong) -> None:
    assert "surprise" in wrong(honest(surprise=1))
    assert "surprise" in wrong(with_sample(surprise=1))


def test_a_missing_key_is_refused_by_name(wrong: Wrong) -> None:
    tree = honest()
    del tree["samples"][3]["tokens"]
    assert "tokens" in wrong(tree)


def test_a_key_that_is_there_twice_is_refused(wrong: Wrong) -> None:
    text = json.dumps(honest())
    assert "'threads' is there twice" in wrong(text[:-1] + ', "threads": 1}')
    inner = text.replace('"cosine"', '"clip": "s1.ogg", "cosine"', 1)
    assert "'clip' is there twice" in wrong(inner)


def test_wrong_types_are_refused_by_place(wrong: Wrong) -> None:
    assert "`$.threads`" in wrong(honest(threads="2"))
    assert "`$.samples" in wrong(with_sample(text=None))
    assert "`$.samples" in wrong(with_sample(tokens=[1.5]))
    assert "`$.placement" in wrong(honest(placement={"CPUExecutionProvider": -1}))
    assert "`$.tier`" in wrong(honest(tier="proven"))


@pytest.mark.parametrize("key", ["kl_sum", "cosine", "relative_error", "seconds"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_what_is_no_number_is_refused(wrong: Wrong, key: str, value: str) -> None:
    text = json.dumps(with_sample(**{key: "HERE"})).replace('"HERE"', value)
    assert "is not evidence" in wrong(text)


@pytest.mark.parametrize("key", ["total_ns", "encode_ns"])
@pytest.mark.parametrize("value", [-1, 0, 10**16, 10**40, 1.0])
def test_times_out_of_range_are_refused(wrong: Wrong, key: str, value: float) -> None:
    assert f"`$.samples[2].{key}`" in wrong(with_sample(**{key: value}))


def test_negative_times_of_a_race_are_refused(wrong: Wrong) -> None:
    tree = honest()
    tree["race"]["laps"][4]["total_ns"] = -5
    assert "`$.race.laps[4].total_ns`" in wrong(tree)


def test_numbers_of_endless_digits_are_refused(wrong: Wrong) -> None:
    text = json.dumps(honest(threads="HERE")).replace('"HERE"', "9" * 100_000)
    assert "is not evidence" in wrong(text)


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\n", "\x7f", "\x9b", "\x00"])
def test_what_would_steer_a_terminal_is_refused(wrong: Wrong, character: str) -> None:
    hostile = f"a{character}[2Jb"
    assert "how holds a control character" in wrong(honest(how=hostile))
    assert "samples[2].text holds a control" in wrong(with_sample(text=hostile))
    assert "a key of placement holds a control" in wrong(honest(placement={hostile: 1}))
    wrong(honest(**{hostile: 1}))
    wrong(honest(schema=hostile))


def test_half_a_character_is_refused(wrong: Wrong) -> None:
    for half in (r"\ud800", r"\udfff", r"\ud800A", r"\udc00\ud800"):
        assert "is not evidence" in wrong(json.dumps(honest(how="HERE")).replace("HERE", half))
