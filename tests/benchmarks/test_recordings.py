from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers import recordings
from benchmarks.peers.recordings import Recording
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate.clips import ClipSet

LENGTHS = {"a": 3.0, "b": 29.0, "c": 28.0, "d": 27.0, "e": 2.0}


@pytest.fixture
def clip_set(tmp_path: Path) -> ClipSet:
    lines = []
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 30 * 16_000)
    for name, seconds in LENGTHS.items():
        soundfile.write(tmp_path / f"{name}.wav", noise[: int(seconds * 16_000)], 16_000)
        language = "de" if name == "e" else "en"
        lines.append({"file": f"{name}.wav", "text": f"word {name}", "language": language})
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    return clip_sets.read(manifest)


def test_clips_are_heard_one_by_one(clip_set: ClipSet) -> None:
    found = recordings.gather(clip_set, "clips", languages={"en"}, limit=None)
    assert [[one.name for one in group] for group in found.groups] == [
        ["a.wav"],
        ["b.wav"],
        ["c.wav"],
        ["d.wav"],
    ]
    assert found.of(found.groups[0])[0].size == 3 * 16_000
    assert found.seconds == pytest.approx(87)


def test_many_are_of_one_language(clip_set: ClipSet) -> None:
    found = recordings.gather(clip_set, "many", languages={"en", "de"}, limit=None)
    assert [{one.language for one in group} for group in found.groups] == [{"en"}, {"de"}]


def test_clips_are_joined_where_no_recording_is_long(clip_set: ClipSet) -> None:
    found = recordings.gather(clip_set, "long", languages={"en", "de"}, limit=None)
    ((whole,),) = found.groups
    assert whole.text == "word a word b word c word d"
    assert whole.seconds == pytest.approx(87 + 4 * 0.8, abs=0.01)


@given(st.integers(0, 40), st.integers(1, 40))
def test_a_limit_takes_from_all_over(count: int, limit: int) -> None:
    found = [Recording(name=str(i), language="en", text="word", seconds=1.0) for i in range(count)]
    chosen = recordings.spread(found, limit)
    assert len(chosen) == min(count, limit)
    assert len({one.name for one in chosen}) == len(chosen)
    assert chosen[:1] == found[:1]
