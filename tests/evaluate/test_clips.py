"""Clip manifests: a sentence for every mistake."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whisperopt.backend import Tier
from whisperopt.errors import BadInputError
from whisperopt.evaluate import clips
from whisperopt.evaluate.clips import Clip, ClipSet
from whisperopt.whisper import LANGUAGES

RATE = 16_000


def write(folder: Path, *lines: dict[str, Any] | str) -> Path:
    manifest = folder / "manifest.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    manifest.write_text("\n".join(texts), "utf-8")
    return manifest


def clip_set(*made: Clip) -> ClipSet:
    """Return a clip set that has no files."""
    return ClipSet(name="made", manifest=Path("m.jsonl"), clips=made, digest="sha256:0")


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


def test_the_digest_follows_the_recordings(tmp_path: Path) -> None:
    manifest = write(tmp_path, {"file": str(sound(tmp_path / "a.wav"))})
    first = clips.read(manifest)
    assert clips.read(manifest, checked=True).digest == first.digest
    sound(tmp_path / "a.wav", volume=0.4)
    assert clips.read(manifest).digest != first.digest


GOOD = {"file": "a.wav"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "lists no clip with speech"),
        ([{"file": "a.wav", "kind": "noise"}], "lists no clip with speech"),
        ([GOOD, GOOD], "lists a.wav twice. Remove"),
        ([GOOD, {"file": "./a.wav"}], "lists ./a.wav twice, once as a.wav"),
        ([GOOD, {"file": "x/../a.wav"}], "lists x/../a.wav twice, once as a.wav"),
        ([{"file": "b.wav"}], "names b.wav, which is not there"),
        ([{"file": "b" * 5000}], "bbb…, which is not there"),
        ([{"file": ""}], "which is no file"),
        ([{"file": "x"}], "names x, which is no file"),
        ([{"file": "a\nb.wav"}], "line 1: file has a control character"),
        ([{**GOOD, "text": "\x1b[2J"}], "line 1: text has a control character"),
        ([GOOD, "nonsense"], "line 2: JSON is malformed"),
        ([GOOD, "", '{"file": "a.wav"'], "line 3: Input data was truncated"),
        (['{"file": "a.wav", "x": ' + "[" * 100_000], "line 1: "),
        (['[{"file": "a.wav"}]'], "Expected `object`, got `array`"),
        ([{"text": "hello"}], "missing required field `file`"),
        ([{**GOOD, "text": None}], "$.text"),
        ([{**GOOD, "language": 3}], "$.language"),
        ([{**GOOD, "language": "dee"}], "no language code 'dee'. Did you mean 'de'?"),
        ([{**GOOD, "language": "en-US"}], "no language code 'en-US'. Did you mean 'en'?"),
        ([{**GOOD, "language": "pt_br"}], "Did you mean 'pt'?"),
        ([{**GOOD, "language": "German"}], "Did you mean 'de'?"),
        ([{**GOOD, "language": "jv"}], "Did you mean 'jw'?"),
        ([{**GOOD, "language": ""}], "Use one of: en, zh, de"),
        ([{**GOOD, "language": "x" * 10**6}], "xx…'. Use one of: en, zh, de"),
        ([{**GOOD, "kind": "nosie"}], "no kind of clip 'nosie'. Did you mean 'noise'?"),
        ([{**GOOD, "kind": "Speech"}], "Did you mean 'speech'?"),
        ([{**GOOD, "kind": "music"}], "Use one of: speech, joined, noise, silence, utt"),
        ([{**GOOD, "kind": "noise", "text": "hello"}], "a clip of noise has the text 'hello'"),
        ([{**GOOD, "kind": "silence", "text": "hello"}], "a clip of silence has the text"),
        ([{**GOOD, "text": "[laughs] ..."}], "has no word that Whisper's normalization"),
        ([{**GOOD, "text": "um, uh"}], "the text of a.wav, 'um, uh', has no word"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, lines: list[Any], words: str) -> None:
    sound(tmp_path / "a.wav")
    (tmp_path / "x").mkdir()
    with pytest.raises(BadInputError) as caught:
        clips.read(write(tmp_path, *lines))
    assert words in str(caught.value)
    assert "manifest.jsonl" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"nowhere\.jsonl: No such file"):
        clips.read(tmp_path / "nowhere.jsonl")
    for name in ("long" * 100, "a\0b"):
        with pytest.raises(BadInputError, match=r"Cannot read the clip manifest"):
            clips.read(tmp_path / name)


def test_a_link_to_a_listed_clip_is_the_same_clip(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    try:
        (tmp_path / "same.wav").symlink_to("a.wav")
    except OSError:
        pytest.skip("this user may not make symbolic links")
    with pytest.raises(BadInputError, match=r"lists same\.wav twice, once as a\.wav"):
        clips.read(write(tmp_path, GOOD, {"file": "same.wav"}))


def test_a_folder_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"is a folder. Name the file in it"):
        clips.read(tmp_path)


def test_other_encodings_are_named_with_their_line(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    manifest = tmp_path / "m.jsonl"
    manifest.write_bytes('{"file": "a.wav"}\n{"file": "é.wav"}'.encode("latin-1"))
    with pytest.raises(BadInputError, match=r"m.jsonl, line 2: this is not UTF-8 text"):
        clips.read(manifest)
    manifest.write_text(json.dumps(GOOD), "utf-16")
    with pytest.raises(BadInputError, match=r"line 1: this is not UTF-8 text"):
        clips.read(manifest)


def test_files_as_windows_writes_them_are_read(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    manifest = tmp_path / "m.jsonl"
    lines = '{"file": "a.wav"}\r\n\r\n{"file": "b.wav", "text": "a\u2028 b \\n c"}\r\n'
    manifest.write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert [clip.text for clip in clips.read(manifest).clips] == ["", "a b c"]


def test_other_manifests_may_say_more_and_call_speech_otherwise(tmp_path: Path) -> None:
    kinds = ["speech", "utt", "utterance", "long", "long-concat", "joined"]
    lines = [
        {"file": sound(tmp_path / f"{kind}.wav").name, "kind": kind, "seconds": 3, "more": [{}]}
        for kind in kinds
    ]
    made = clips.read(write(tmp_path, *lines))
    assert [clip.kind for clip in made.clips] == ["speech"] * 4 + ["joined"] * 2


def test_a_manifest_of_millions_is_refused_at_once(tmp_path: Path) -> None:
    line = '{"file":"a"}\n'
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(line * (clips.MAX_CLIPS + 1))
    with pytest.raises(BadInputError, match=r"more than 10,000 clips"):
        clips.read(manifest)
    manifest.write_text(line * 10**6)
    with pytest.raises(BadInputError, match=r"more than 10 MB"):
        clips.read(manifest)


def test_as_many_clips_as_are_allowed_are_read_in_linear_time(tmp_path: Path) -> None:
    for number in range(clips.MAX_CLIPS):
        (tmp_path / f"{number}.wav").touch()
    lines = [{"file": f"{number}.wav"} for number in range(clips.MAX_CLIPS)]
    started = time.process_time()
    assert len(clips.read(write(tmp_path, *lines), checked=True).clips) == clips.MAX_CLIPS
    assert time.process_time() - started < 5


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_manifest_or_one_sentence(tmp_path: Path, data: bytes) -> None:
    manifest = tmp_path / "any.jsonl"
    manifest.write_bytes(data)
    with pytest.raises(BadInputError):
        clips.read(manifest)


VALUES = st.one_of(
    st.sampled_from(["a.wav", "b.wav", "./a.wav", "speech", "noise", "en", "zh", "hello", ""]),
    st.text(max_size=8),
    st.none() | st.integers() | st.lists(st.none(), max_size=2),
)
KEYS = st.sampled_from(["file", "file", "text", "language", "kind", "more"])
LINES = st.one_of(
    st.dictionaries(KEYS, VALUES, max_size=5).map(lambda line: json.dumps(line).encode()),
    st.just(b'{"file": "a.wav"}'),
    st.binary(max_size=20),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.lists(LINES, max_size=4))
def test_any_lines_are_a_clip_set_or_one_sentence(tmp_path: Path, lines: list[bytes]) -> None:
    for name in ("a.wav", "b.wav"):
        if not (tmp_path / name).is_file():
            sound(tmp_path / name)
    manifest = tmp_path / "any.jsonl"
    manifest.write_bytes(b"\n".join(lines))
    try:
        made = clips.read(manifest)
    except BadInputError as error:
        assert "\n" not in str(error)  # noqa: PT017  # most are refused, some are not
    else:
        assert 0 < len(made.clips) <= 2
        assert all(clip.language in LANGUAGES for clip in made.clips)


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


@pytest.mark.parametrize("kind", ["speech", "noise", "silence"])
def test_samples_that_are_no_numbers_are_refused(tmp_path: Path, kind: str) -> None:
    sound(tmp_path / "good.wav")
    soundfile.write(tmp_path / "nan.wav", np.full(8000, np.nan, np.float32), RATE, "FLOAT")
    manifest = write(tmp_path, {"file": "good.wav"}, {"file": "nan.wav", "kind": kind})
    with pytest.raises(BadInputError, match=r"nan\.wav holds samples that are no numbers"):
        clips.read(manifest)


def test_files_that_are_no_audio_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no audio at all")
    manifest = write(tmp_path, {"file": "a.wav"})
    with pytest.raises(BadInputError, match=r"a\.wav cannot be read as audio"):
        clips.read(manifest)
    with pytest.raises(BadInputError, match=r"a\.wav cannot be read as audio"):
        clips.read(manifest, checked=True).within(RATE)


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
    assert heard.left_out == ("long.wav: longer than the model's window of 1 s",)
    with pytest.raises(BadInputError) as caught:
        made.within(1600)
    assert str(caught.value).endswith(
        "has no clip with speech that can be played to the model: good.wav: longer than the"
        " model's window of 0.1 s (and 1 more). Add clips of at most 0.1 s in a language that"
        " the model knows."
    )


def test_languages_that_the_model_does_not_know_are_left_out(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"file": "e.wav"},
        {"file": "g.wav", "language": "de"},
        {"file": "n.wav", "language": "de", "kind": "noise"},
    ]
    for line in lines:
        sound(tmp_path / line["file"])
    made = clips.read(write(tmp_path, *lines))
    assert made.within(RATE) == made
    heard = made.within(RATE, {"en"})
    assert [clip.file for clip in heard.clips] == ["e.wav", "n.wav"]
    assert heard.left_out == ("g.wav: in German, which the model does not know",)
    with pytest.raises(BadInputError, match=r"Add clips of at most 1 s in French or Chinese\."):
        made.within(RATE, {"zh", "fr"})


def test_what_clips_cannot_show_is_said() -> None:
    told, untold = Clip(file="a", text="hello"), Clip(file="b")
    noise = Clip(file="n", kind="noise")
    assert clip_set(told, noise).notes() == ()
    (note,) = clip_set(told, untold, noise).notes()
    assert note.startswith("1 of 2 clips with speech has no transcript")
    (note,) = clip_set(told).notes()
    assert note == "no clip is noise or silence: nothing shows whether words are invented"


KINDS = st.sampled_from(["speech", "joined", "noise", "silence"])


@given(st.lists(st.tuples(KINDS, st.sampled_from(["en", "de", "zh"])), min_size=1))
def test_a_stand_in_plays_a_third_of_every_language_and_kind(
    groups: list[tuple[Any, str]],
) -> None:
    made = [Clip(file=str(i), kind=kind, language=code) for i, (kind, code) in enumerate(groups)]
    kept = clips.played(made, Tier.EMULATED)
    assert [clip for clip in made if clip in kept] == list(kept)
    for kind in ("noise", "silence"):
        found, left = (sum(clip.kind == kind for clip in some) for some in (made, kept))
        assert left == -(-found // 3)
    for group in {(clip.kind, clip.language) for clip in made if clip.spoken}:
        found, left = (
            sum((clip.kind, clip.language) == group for clip in some) for some in (made, kept)
        )
        assert left == -(-found // 3)


def test_a_device_plays_every_clip() -> None:
    made = tuple(Clip(file=str(i)) for i in range(9))
    assert clips.played(made, Tier.MEASURED) == made
