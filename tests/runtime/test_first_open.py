"""The first opening of an artifact on a host: its own process, a stamp, and reasons."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.runtime.opening import Backend, Session, answering
from tests.selection import releases
from tests.sites import Site
from whisperopt import artifact, cache, host
from whisperopt.artifact import Artifact
from whisperopt.errors import IntegrityError, WhisperoptError
from whisperopt.process import IMPOSSIBLE, Failure
from whisperopt.reasons import because
from whisperopt.runtime import first_open
from whisperopt.runtime.first_open import FirstOpen

CRASHED = Failure(because("process.crashed", signal="SIGSEGV", last=""))
TOO_OLD = Failure(because("error.text", "The driver is too old", remedy="Update it"), certain=True)


def late(seconds: float) -> Failure:
    return Failure(because("process.too-long", seconds=seconds))


def test_only_the_first_opening_takes_another_process(
    one: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = answering(monkeypatch, None)
    first_open.open_session(one, threads=3)
    first_open.open_session(one, threads=3)
    assert child.asked == [(first_open.tested, FirstOpen(one.path, 3), 900)]
    assert Session.steps == 0


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("known", ["by its folder", "by a catalog"])
@pytest.mark.parametrize("file", ["decoder.onnx", "tokenizer.json", "self_test.json"])
@pytest.mark.parametrize("damage", [_flipped, Path.unlink])
def test_no_damaged_file_is_opened(
    one: Artifact, monkeypatch: pytest.MonkeyPatch, *, known: str, file: str, damage: Any
) -> None:
    for name in ("tokenizer.json", "self_test.json"):
        (one.path / name).write_text("{}")
    if known == "by its folder":
        artifact.seal(one.path)
    else:
        digests = {path.name: cache.sha256(path) for path in one.path.iterdir()}
        one = msgspec.structs.replace(one, digests=digests)
    damage(one.path / file)
    child = answering(monkeypatch, None)
    for opening in (first_open.open_session, first_open.try_out):
        with pytest.raises(IntegrityError) as told:
            opening(one)
        assert told.value.reason.values == {"file": file}
    assert child.asked == []


def test_what_was_compared_once_is_not_read_again_until_it_changes(
    one: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact.seal(one.path)
    read: list[str] = []
    real = cache.sha256
    monkeypatch.setattr(cache, "sha256", lambda path: (read.append(path.name), real(path))[1])
    answering(monkeypatch, CRASHED)
    for _ in range(2):
        with pytest.raises(WhisperoptError):
            first_open.open_session(one)
    assert sorted(read) == sorted(p.name for p in one.path.iterdir() if p.name != artifact.SUMS)
    answering(monkeypatch, None)
    first_open.open_session(one)
    _flipped(one.graph("decoder"))
    with pytest.raises(IntegrityError):
        first_open.open_session(one)


@pytest.mark.parametrize("sums", [b"", b"no sums", b"0" * 64 + b"  ../x\n", b"\xff"])
def test_garbled_sums_are_damage(
    one: Artifact, monkeypatch: pytest.MonkeyPatch, sums: bytes
) -> None:
    (one.path / artifact.SUMS).write_bytes(sums)
    answering(monkeypatch, None)
    with pytest.raises(IntegrityError) as told:
        first_open.open_session(one)
    assert told.value.reason.values == {"file": artifact.SUMS}


def test_where_no_other_process_can_be_started_it_is_tested_in_this_one(
    one: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = answering(monkeypatch, IMPOSSIBLE)
    first_open.open_session(one)
    assert Session.steps == 2
    first_open.open_session(one)
    assert (len(child.asked), Session.steps) == (1, 2)


@pytest.mark.parametrize("change", ["files", "host", "place", "libraries", "device"])
def test_what_changed_is_tried_again(
    one: Artifact, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    child = answering(monkeypatch, None)
    first_open.open_session(one)
    match change:
        case "files":
            one.graph("decoder").write_bytes(b"others")
        case "host":
            monkeypatch.setattr(host, "probe", lambda: releases.host("arm-server-linux"))
        case "libraries":
            site = Site(one.path.with_name("site"))
            site.distribution("nvidia-cudnn-cu13", "9.99")
            monkeypatch.syspath_prepend(site.folder)
        case "device":
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        case "place":
            one = Artifact(one.path.rename(one.path.with_name("moved")), one.manifest)
    first_open.open_session(one)
    assert len(child.asked) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (CRASHED, "opening it failed: the runtime aborted"),
        (TOO_OLD, "too old. Update it."),
        (late(900), "opening it failed: it took over 900 s"),
    ],
)
def test_a_failure_is_a_reason_and_leaves_no_stamp(
    one: Artifact, monkeypatch: pytest.MonkeyPatch, answer: Any, reason: str
) -> None:
    answering(monkeypatch, answer)
    with pytest.raises(WhisperoptError) as caught:
        first_open.open_session(one)
    assert reason in str(caught.value)
    child = answering(monkeypatch, None)
    if "900" in reason:
        return
    first_open.open_session(one)
    assert len(child.asked) == 1


def test_a_hang_is_not_sat_through_again_until_a_day_or_more_patience(
    one: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(first_open.LIMIT, "5")
    answering(monkeypatch, late(5))
    with pytest.raises(WhisperoptError, match="it took over 5 s"):
        first_open.open_session(one)
    child = answering(monkeypatch, None)
    with pytest.raises(WhisperoptError, match="within the last day, so it is not tried") as caught:
        first_open.open_session(one)
    assert child.asked == []
    (note,) = (tmp_path / "cache/self-tests").iterdir()
    assert str(note) in caught.value.remedy
    later = time.time() + 2 * 24 * 60 * 60
    monkeypatch.setattr(time, "time", lambda: later)
    first_open.open_session(one)
    assert len(child.asked) == 1


def test_more_patience_tries_a_hang_again(one: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(first_open.LIMIT, "5")
    answering(monkeypatch, late(5))
    with pytest.raises(WhisperoptError):
        first_open.open_session(one)
    monkeypatch.setenv(first_open.LIMIT, "50")
    child = answering(monkeypatch, None)
    first_open.open_session(one)
    assert len(child.asked) == 1


def test_without_a_cache_it_is_tried_every_time(
    one: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("no folder")
    child = answering(monkeypatch, None)
    first_open.open_session(one)
    first_open.open_session(one)
    assert len(child.asked) == 2


def test_the_other_process_says_what_is_wrong(
    one: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_open.tested(FirstOpen(one.path, None))

    def fail(*_: object, **__: object) -> Session:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Backend, "open", fail)
    with pytest.raises(WhisperoptError) as caught:
        first_open.tested(FirstOpen(one.path, None))
    assert caught.value.reason == because("runtime.not-opened", why="RuntimeError: no memory")


def test_a_real_session_passes_in_another_process(
    small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path))
    session = first_open.open_session(small_artifact, threads=1)
    assert session.placement
    assert len(list((tmp_path / "self-tests").iterdir())) == 1


def test_trying_out_opens_nothing_in_this_process_and_counts_as_the_first_opening(
    one: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = answering(monkeypatch, None)
    monkeypatch.setattr(Backend, "open", None)
    first_open.try_out(one)
    first_open.try_out(one)
    assert len(child.asked) == 1


def test_trying_out_says_what_is_wrong(one: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, TOO_OLD)
    with pytest.raises(WhisperoptError, match="too old"):
        first_open.try_out(one)
    answering(monkeypatch, IMPOSSIBLE)
    with pytest.raises(WhisperoptError) as caught:
        first_open.try_out(one)
    assert caught.value.reason == IMPOSSIBLE.reason


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bound memory so")
def test_an_opening_takes_no_more_memory_than_its_files_explain(small_artifact) -> None:
    code = (
        "import numpy, sys; from pathlib import Path; from whisperopt import artifact\n"
        "from whisperopt.runtime import first_open\n"
        "made = artifact.read(Path(sys.argv[1])); first_open._bound_memory(made)\n"
        "numpy.zeros(1 << 28, numpy.uint8)\n"
        "try: numpy.zeros(1 << 36, numpy.uint8)\n"
        "except MemoryError: print('refused')"
    )
    folder = small_artifact.path
    command = [sys.executable, "-c", code, folder]
    inside = {**os.environ, "WHISPEROPT_ISOLATED": "1"}
    found = subprocess.run(command, env=inside, capture_output=True, text=True, check=True)
    assert found.stdout == "refused\n"
