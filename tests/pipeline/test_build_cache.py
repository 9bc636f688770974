"""What the core model said, kept for later builds: whole, in use, or not at all."""

import os
import time
from pathlib import Path

import pytest

from tests.evaluate.samples import answers
from whisperopt import cache
from whisperopt.evaluate.case import CoreOutputs
from whisperopt.pipeline.build_cache import BuildCache


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CoreOutputs:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    for name in ("references.npz", "self-test.npz"):
        (tmp_path / name).write_bytes(name.encode())
    return CoreOutputs(
        answers=answers(),
        references=tmp_path / "references.npz",
        self_test=tmp_path / "self-test.npz",
        journal=tmp_path / "journal",
    )


def test_what_was_heard_is_known_on_the_same_grounds_only(heard: CoreOutputs) -> None:
    BuildCache(["here"]).keep_heard(heard, "model")
    found = BuildCache(["here"]).heard("model")
    assert found is not None
    assert found.answers == heard.answers
    assert found.references.read_bytes() == heard.references.read_bytes()
    assert found.self_test.read_bytes() == heard.self_test.read_bytes()
    assert BuildCache(["here"]).heard("other") is None
    assert BuildCache(["there"]).heard("model") is None
    assert BuildCache(["here"], fresh=True).heard("model") is None
    assert BuildCache().heard("model") is None


def test_numbers_in_use_outlast_a_month(heard: CoreOutputs) -> None:
    known = BuildCache(["here"])
    known.keep_heard(heard, "model")
    long_ago = time.time() - 40 * 24 * 3600
    for path in cache.folder("heard").iterdir():
        os.utime(path, (long_ago, long_ago))
    assert known.heard("model") is not None
    cache.keep("heard", "another", 1)
    assert known.heard("model") is not None


def test_damaged_numbers_are_not_known(heard: CoreOutputs) -> None:
    known = BuildCache(["here"])
    known.keep_heard(heard, "model")
    (copy,) = cache.folder("heard").glob("*references.npz")
    copy.write_bytes(b"References.npz")
    assert known.heard("model") is None
    copy.unlink()
    assert known.heard("model") is None


def test_a_disk_that_takes_no_copies_is_no_error(heard: CoreOutputs, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    BuildCache(["here"]).keep_heard(heard, "model")
    assert BuildCache(["here"]).heard("model") is None
