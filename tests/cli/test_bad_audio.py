"""Audio that cannot be heard gets one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Refused, write_sound


def _text(path: Path) -> Path:
    path.write_text("this is no audio")
    return path


def _no_bytes(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def _cut(path: Path) -> Path:
    write_sound(path, 1.0)
    path.write_bytes(path.read_bytes()[:20])
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "There is no audio file"),
        (_no_bytes, "cannot be read as audio"),
        (_text, "cannot be read as audio"),
        (_cut, "cannot be read as audio"),
        (lambda path: write_sound(path, 0.0), "is empty"),
        (lambda path: write_sound(path, 1.0, volume=0.0), "is silent"),
        (lambda path: write_sound(path, 0.05), "is only 0.05 s long"),
    ],
    ids=["missing", "nothing", "text", "cut", "empty", "silent", "short"],
)
def test_audio_that_cannot_be_heard_is_refused(
    refused: Refused, release: Path, tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    path = make(tmp_path / "audio.wav")
    sentence = refused(2, "transcribe", path, "--model", release)
    assert f"{path} {words}" in sentence or f"{words} {path}" in sentence


def test_a_folder_is_no_audio(refused: Refused, release: Path, tmp_path: Path) -> None:
    assert "There is no audio file" in refused(2, "transcribe", tmp_path, "--model", release)


def test_an_unknown_language_is_refused_with_the_nearest(
    refused: Refused, release: Path, speech: Path
) -> None:
    sentence = refused(2, "transcribe", speech, "--model", release, "--language", "dee")
    assert "does not know the language 'dee'. Did you mean 'de'?" in sentence
