"""Reasons are values, and every code has its sentence."""

import re
from pathlib import Path

import msgspec
import pytest

from whisperopt import reasons
from whisperopt.errors import BadInputError
from whisperopt.reasons import Reason, because

ROOT = Path(__file__).parents[1]
USED = re.compile(r"""(?:because|Reason|finding)\(\s*["']([a-z_]+\.[a-z0-9-]+)["']""")


def used() -> set[str]:
    """Return every code that the product names."""
    sources = [*ROOT.glob("whisperopt/**/*.py"), *ROOT.glob("backends/**/*.py")]
    return {code for path in sources for code in USED.findall(path.read_text("utf-8"))}


def test_every_code_that_is_used_has_a_sentence() -> None:
    assert used() <= set(reasons.sentences())


def test_a_sentence_is_filled_with_place_and_values() -> None:
    assert str(because("process.too-long", seconds=90.0)) == "it took over 90 s"
    assert str(because("process.not-started", "wine", why="no such file")) == (
        "wine cannot be started: no such file"
    )


def test_a_reason_survives_json() -> None:
    reason = because("process.too-long", "cpu-gqa-fp32", seconds=2)
    assert msgspec.json.decode(msgspec.json.encode(reason), type=Reason) == reason


def test_an_error_can_be_made_of_a_reason() -> None:
    error = BadInputError(because("process.no-answer", "cuda"))
    assert (error.reason.code, error.reason.place) == ("process.no-answer", "cuda")
    assert str(error) == "it gave no answer."


@pytest.mark.parametrize("code", sorted(reasons.sentences()))
def test_no_sentence_ends_with_a_full_stop(code: str) -> None:
    assert not any(text.endswith(".") for text in reasons.sentences()[code].values())


def test_a_sentence_that_was_recorded_is_read_back() -> None:
    reason = because("provider.library-missing", "CUDAExecutionProvider", library="libcudart.so")
    assert reasons.read(str(reason), reason.code) == reason
    assert reasons.read("the device is lost", reason.code) is None
