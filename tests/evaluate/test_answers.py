"""The core model's answers travel: one document, and one file of numbers."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.evaluate.samples import answers, clips
from whisperopt import documents
from whisperopt.errors import IntegrityError
from whisperopt.evaluate import answers as answers_
from whisperopt.evaluate import evidence
from whisperopt.evaluate.answers import ReferenceOutput, ReferenceOutputs
from whisperopt.evaluate.clips import Clip


def reference(seed: int) -> ReferenceOutput:
    """Return an answer of five tokens, as a core model with 96 of them would give it."""
    random = np.random.default_rng(seed)
    return ReferenceOutput.of(
        random.standard_normal((24, 8), np.float32),
        [seed, 1, 2, 3, 4],
        random.standard_normal((5, 96), np.float32),
    )


@pytest.fixture
def folder(tmp_path: Path) -> ReferenceOutputs:
    path = tmp_path / "references"
    path.mkdir()
    return ReferenceOutputs(path)


def assert_same(found: ReferenceOutput, expected: ReferenceOutput) -> None:
    assert found.tokens == expected.tokens
    np.testing.assert_array_equal(found.best, expected.best)
    np.testing.assert_array_equal(found.log_probabilities, expected.log_probabilities)
    np.testing.assert_allclose(found.hidden, expected.hidden, atol=2e-3)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    made = answers()
    evidence.write(tmp_path / "a.json", made)
    assert answers_.read(tmp_path / "a.json") == made
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_an_interrupted_writer_leaves_the_old_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = answers()
    evidence.write(tmp_path / "a.json", old)

    def killed(_self: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        evidence.write(tmp_path / "a.json", answers(None, *clips(1)))
    assert answers_.read(tmp_path / "a.json") == old


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"surprise": 1}, "surprise"), ({"schema": "2.0"}, "schema"), ({"clips": 1}, "clips")],
)
def test_other_answers_are_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    raw = msgspec.to_builtins(answers()) | changes
    (tmp_path / "a.json").write_bytes(msgspec.json.encode(raw))
    with pytest.raises(documents.UnfitError, match=words):
        answers_.read(tmp_path / "a.json")


def test_a_clip_is_found_by_its_file() -> None:
    made = answers()
    assert made.clip("s1.ogg") == made.clips[1]
    assert made.clip("absent.ogg") is None


def test_a_folder_keeps_one_entry_for_each_clip(folder: ReferenceOutputs) -> None:
    first, second = clips(2)
    assert not folder.has(first)
    folder.save(first, reference(1))
    folder.save(first, reference(2))
    assert folder.has(first)
    assert not folder.has(second)
    assert_same(folder.load(first), reference(2))
    assert len(list(folder.path.iterdir())) == 1


def test_a_packed_file_says_the_same_as_the_folder(
    folder: ReferenceOutputs, tmp_path: Path
) -> None:
    played = clips(3)
    for seed, clip in enumerate(played):
        folder.save(clip, reference(seed))
    folder.pack(tmp_path / "packed.npz", played)
    packed = ReferenceOutputs(tmp_path / "packed.npz")
    for seed, clip in enumerate(played):
        assert_same(packed.load(clip), folder.load(clip))
        assert_same(packed.load(clip), reference(seed))


def test_only_the_clips_that_were_played_are_packed(
    folder: ReferenceOutputs, tmp_path: Path
) -> None:
    first, second = clips(2)
    for clip in (first, second):
        folder.save(clip, reference(0))
    folder.pack(tmp_path / "packed.npz", [first])
    with pytest.raises(IntegrityError, match="is not a file in the archive"):
        ReferenceOutputs(tmp_path / "packed.npz").load(second)


@pytest.mark.parametrize("file", ["../up.ogg", "/abs/olute.ogg", "a" * 300, "ü b\\c:d.ogg", ""])
def test_any_name_of_a_clip_has_an_entry_inside_the_folder(
    folder: ReferenceOutputs, file: str
) -> None:
    clip = Clip(file=file)
    folder.save(clip, reference(0))
    (entry,) = folder.path.iterdir()
    assert entry.parent == folder.path
    assert_same(folder.load(clip), reference(0))


def test_an_interrupted_writer_leaves_no_entry(
    folder: ReferenceOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(path: Path, **_arrays: object) -> None:
        path.write_bytes(b"PK half")
        raise KeyboardInterrupt

    (clip,) = clips(1)
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", half)
        with pytest.raises(KeyboardInterrupt):
            folder.save(clip, reference(0))
    assert not folder.has(clip)
    folder.save(clip, reference(1))
    assert_same(folder.load(clip), reference(1))


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    (clip,) = clips(1)
    hostile = dict.fromkeys(reference(0).arrays(answers_._key(clip)), np.array([{}]))
    np.savez(tmp_path / "packed.npz", **hostile)
    with pytest.raises(IntegrityError, match="allow_pickle=False"):
        ReferenceOutputs(tmp_path / "packed.npz").load(clip)
