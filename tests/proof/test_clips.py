"""Clip manifests: a sentence for every mistake."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proof.samples import clip_set
from whisperopt.errors import BadInputError
from whisperopt.proof import clips
from whisperopt.proof.clips import Clip

RATE = 16_000


def write(folder: Path, *lines: dict[str, Any] | str) -> Path:
    manifest = folder / "manifest.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    manifest.write_text("\n".join(texts), "utf-8")
    return manifest


def sound(path: Path, seconds: float = 0.5, volume: float = 0.5) -> Path:
    wave = volume * np.sin(np.arange(round(seconds * RATE)) / 9)
    soundfile.write(path, wave.astype(np.float32), RATE)
    return path


def test_the_packaged_clips_are_what_the_design_asks_for() -> None:
    packaged = clips.read(clips.packaged())
    spoken = [clip for clip in packaged.clips if clip.spoken]
    assert len([clip for clip in spoken if clip.kind == "speech"]) >= 60
    assert sum(len(clip.text.split()) for clip in spoken) >= 700
    assert {clip.kind for clip in packaged.clips} == {"speech", "joined", "noise", "silence"}


def test_files_are_relative_to_the_manifest_or_absolute(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    sound(tmp_path / "audio/a.wav")
    away = sound(tmp_path / "b.wav")
    manifest = write(tmp_path, {"file": "audio/a.wav"}, "", {"file": str(away), "language": "de"})
    made = clips.read(manifest)
    assert [made.samples(clip).size for clip in made.clips] == [8000, 8000]
    assert made.clips[1].language == "de"


def test_the_set_is_named_after_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound(tmp_path / "a.wav")
    write(tmp_path, {"file": "a.wav"})
    monkeypatch.chdir(tmp_path)
    assert clips.read(Path("manifest.jsonl")).name == tmp_path.name


def test_the_digest_follows_the_manifest(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    first = clips.read(write(tmp_path, {"file": "a.wav", "text": "one"}))
    second = clips.read(write(tmp_path, {"file": "a.wav", "text": "two"}))
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "no clip with speech"),
        ([{"file": "a.wav", "kind": "noise"}], "no clip with speech"),
        ([{"file": "a.wav"}, {"file": "a.wav"}], "lists a.wav twice"),
        ([{"file": "b.wav"}], "names b.wav, which is not there"),
        ([{"file": "a.wav"}, "nonsense"], "line 2"),
        ([{"text": "hello"}], "missing required field `file`"),
        ([{"file": "a.wav", "language": 3}], "$.language"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, lines: list[Any], words: str) -> None:
    sound(tmp_path / "a.wav")
    with pytest.raises(BadInputError) as caught:
        clips.read(write(tmp_path, *lines))
    assert words in str(caught.value)
    assert "manifest.jsonl" in str(caught.value)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"nowhere\.jsonl: No such file"):
        clips.read(tmp_path / "nowhere.jsonl")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_manifest_or_one_sentence(tmp_path: Path, data: bytes) -> None:
    manifest = tmp_path / "any.jsonl"
    manifest.write_bytes(data)
    with pytest.raises(BadInputError):
        clips.read(manifest)


@pytest.mark.parametrize(
    ("seconds", "volume", "kind", "words"),
    [
        (0.0, 0.5, "speech", "is empty"),
        (0.05, 0.5, "speech", "0.05 s"),
        (0.5, 0.0, "speech", "is silent"),
        (0.5, 0.0, "noise", "is silent"),
        (0.0, 0.0, "silence", "is empty"),
    ],
)
def test_clips_that_cannot_be_heard_are_refused(
    tmp_path: Path, seconds: float, volume: float, kind: str, words: str
) -> None:
    sound(tmp_path / "good.wav")
    sound(tmp_path / "bad.wav", seconds, volume)
    manifest = write(tmp_path, {"file": "good.wav"}, {"file": "bad.wav", "kind": kind})
    with pytest.raises(BadInputError) as caught:
        clips.read(manifest)
    assert "bad.wav" in str(caught.value)
    assert words in str(caught.value)


def test_silence_may_be_silent(tmp_path: Path) -> None:
    sound(tmp_path / "good.wav")
    sound(tmp_path / "z.wav", volume=0.0)
    made = clips.read(write(tmp_path, {"file": "good.wav"}, {"file": "z.wav", "kind": "silence"}))
    assert len(made.clips) == 2


def test_clips_that_the_model_cannot_hear_at_once_are_left_out(tmp_path: Path) -> None:
    sound(tmp_path / "good.wav")
    sound(tmp_path / "long.wav", 1.5)
    made = clips.read(write(tmp_path, {"file": "good.wav"}, {"file": "long.wav"}))
    heard = made.within(RATE)
    assert [clip.file for clip in heard.clips] == ["good.wav"]
    assert heard.left_out == ("long.wav",)
    with pytest.raises(BadInputError, match=r"no clip with speech of at most 0\.1 s"):
        made.within(1600)


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(1, 5))
def test_thinning_keeps_speech_wherever_it_stands(spoken: list[bool], stride: int) -> None:
    made = clip_set(
        *[Clip(file=f"{i}.ogg", kind="speech" if one else "noise") for i, one in enumerate(spoken)]
    )
    kept = made.thinned(stride)
    assert sum(clip.spoken for clip in kept) == -(-sum(spoken) // stride)
    assert len(kept) - sum(clip.spoken for clip in kept) == -(-spoken.count(False) // stride)
    assert [clip for clip in made.clips if clip in kept] == list(kept)
