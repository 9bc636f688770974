"""Downloads go on where they stopped, and no bytes are believed because they are there."""

import errno
import hashlib
import os
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from tests.download.server import Answer, Site, broken_off, headers, plain, send, status, whole
from tests.download.test_transport import DATA, SHA256, root, site
from whisperopt import locks
from whisperopt.download import parts, transport
from whisperopt.download.parts import Part
from whisperopt.download.transport import HttpSource, PassingError
from whisperopt.errors import IntegrityError, NetworkError
from whisperopt.release.catalog import File

__all__ = ["root", "site"]
FILE = File(path="weights.bin", size=len(DATA), sha256=SHA256)
THIRD = len(DATA) // 3


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_PAUSES_SECONDS", (0.0, 0.0, 0.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    return tmp_path / "parts"


def fetch(site: Site, folder: Path) -> bytes:
    with parts.fetched(HttpSource(site.url), "weights.bin", FILE, folder) as part:
        part.move(folder / "done")
    return (folder / "done").read_bytes()


def left(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def put(folder: Path, data: bytes) -> None:
    (folder / f"{SHA256}.part").write_bytes(data)


def test_a_connection_that_breaks_often_is_gone_on_with(site: Site, folder: Path) -> None:
    site.odd["weights.bin"] = [broken_off(len(DATA) // 10)]
    assert fetch(site, folder) == DATA
    assert site.sent == len(DATA)
    assert site.ranges[1] == f"bytes={len(DATA) // 10}-"
    assert left(folder) == {"done": len(DATA)}


def test_what_a_failure_left_is_gone_on_with_by_the_next(site: Site, folder: Path) -> None:
    site.odd["weights.bin"] = [
        broken_off(THIRD),
        status(503),
        status(503),
        status(503),
        status(503),
    ]
    with pytest.raises(NetworkError, match="503"):
        fetch(site, folder)
    assert left(folder) == {f"{SHA256}.part": THIRD}
    site.odd.clear()
    assert fetch(site, folder) == DATA
    assert site.sent == len(DATA)


def test_a_whole_part_is_hashed_and_nobody_is_asked(site: Site, folder: Path) -> None:
    put(folder, DATA)
    assert fetch(site, folder) == DATA
    assert site.asked == []


def wrong_range(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    headers(handler, 206, {"Content-Range": f"bytes 7-{len(data) - 1}/{len(data)}"})
    send(handler, data[7:])


def without_range(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    headers(handler, 206, {"Content-Length": "3"})
    send(handler, data[:3])


@pytest.mark.parametrize("odd", [whole, status(416), wrong_range, without_range])
def test_a_server_that_does_not_go_on_there_is_asked_for_all(
    site: Site, folder: Path, odd: Answer
) -> None:
    put(folder, DATA[:THIRD])
    site.odd["weights.bin"] = [odd, plain]
    assert fetch(site, folder) == DATA
    assert site.ranges == [f"bytes={THIRD}-", ""]


def test_a_server_without_ranges_is_started_over_and_given_up(site: Site, folder: Path) -> None:
    site.odd["weights.bin"] = [broken_off(THIRD, ranges=False)]
    with pytest.raises(NetworkError, match=f"after {THIRD} "):
        fetch(site, folder)
    assert left(folder) == {f"{SHA256}.part": THIRD}


def test_a_206_that_nobody_asked_for_is_refused(site: Site, folder: Path) -> None:
    site.odd["weights.bin"] = [without_range]
    with pytest.raises(NetworkError, match="status 206"):
        fetch(site, folder)
    assert left(folder) == {}


@pytest.mark.parametrize("wrong", [b"x" * THIRD, b"x" * len(DATA), DATA + b"x"])
def test_wrong_bytes_in_a_part_cost_one_more_try(site: Site, folder: Path, wrong: bytes) -> None:
    put(folder, wrong)
    assert fetch(site, folder) == DATA
    assert left(folder) == {"done": len(DATA)}


def test_wrong_bytes_from_a_server_are_asked_for_once_more(site: Site, folder: Path) -> None:
    def changed(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        plain(handler, data[:-1] + bytes([data[-1] ^ 1]))

    site.odd["weights.bin"] = [changed, plain]
    assert fetch(site, folder) == DATA
    (folder / "done").unlink()
    site.asked.clear()
    site.odd["weights.bin"] = [changed]
    with pytest.raises(IntegrityError):
        fetch(site, folder)
    assert len(site.asked) == 2
    assert left(folder) == {}


def test_who_finds_a_part_held_starts_afresh(site: Site, folder: Path) -> None:
    put(folder, DATA[:THIRD])
    held = locks.take(folder / f"{SHA256}.part")
    assert held is not None
    assert fetch(site, folder) == DATA
    assert left(folder) == {"done": len(DATA), f"{SHA256}.part": THIRD}
    os.close(held)
    site.asked.clear()
    assert fetch(site, folder) == DATA
    assert site.ranges[-1] == f"bytes={THIRD}-"


def test_where_locks_lie_everybody_starts_afresh(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, DATA[:THIRD])
    monkeypatch.setattr(locks, "lock", lambda _: True)
    assert fetch(site, folder) == DATA
    assert site.ranges == [""]
    assert left(folder) == {"done": len(DATA), f"{SHA256}.part": THIRD}


@pytest.mark.parametrize(
    "planted", ["link", "hard link", "folder", *(["pipe"] if hasattr(os, "mkfifo") else [])]
)
def test_what_somebody_planted_in_place_of_a_part_is_left_alone(
    site: Site, folder: Path, tmp_path: Path, planted: str
) -> None:
    mine, part = tmp_path / "mine", folder / f"{SHA256}.part"
    mine.write_bytes(b"mine")
    if planted == "link":
        part.symlink_to(mine)
    elif planted == "hard link":
        part.hardlink_to(mine)
    elif planted == "folder":
        part.mkdir()
    else:
        os.mkfifo(part)
    assert fetch(site, folder) == DATA
    assert mine.read_bytes() == b"mine"
    assert part.exists()


def test_a_part_is_for_another_disk_copied_and_compared(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(self: Path, to: Path) -> NoReturn:
        raise OSError(errno.EXDEV, "another disk")

    real = Path.stat

    def stat(self: Path, **options: Any) -> Any:
        found = real(self, **options)
        return SimpleNamespace(st_dev=-1) if self.suffix == ".part" else found

    fetched = parts.fetched(HttpSource(site.url), "weights.bin", FILE, folder)
    with fetched as part, monkeypatch.context() as patch:
        patch.setattr(Path, "rename", elsewhere)
        patch.setattr(Path, "stat", stat)
        part.move(folder / "done")
    assert left(folder) == {"done": len(DATA)}
    assert (folder / "done").read_bytes() == DATA


def test_a_full_disk_keeps_what_has_arrived(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Part.add

    def add(part: Part, chunk: bytes) -> None:
        if part.size >= THIRD:
            raise OSError(errno.ENOSPC, "full")
        real(part, chunk[: THIRD - part.size])

    monkeypatch.setattr(Part, "add", add)
    with pytest.raises(OSError, match="full"):
        fetch(site, folder)
    assert len(site.asked) == 1
    assert left(folder) == {f"{SHA256}.part": THIRD}
    monkeypatch.setattr(Part, "add", real)
    assert fetch(site, folder) == DATA


def test_an_empty_file_arrives(site: Site, folder: Path, root: Path) -> None:
    (root / "empty").write_bytes(b"")
    file = File(path="empty", size=0, sha256=hashlib.sha256().hexdigest())
    with parts.fetched(HttpSource(site.url), "empty", file, folder) as part:
        part.move(folder / "done")
    assert left(folder) == {"done": 0}


def test_progress_at_a_good_rate_sets_failures_back(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived, calls = [0], [0]

    def attempt() -> int:
        calls[0] += 1
        if calls[0] < 20:
            arrived[0] += 100_000
            raise PassingError(parts.because("download.404", "x"))
        return calls[0]

    assert transport.insist(attempt, seconds=60, arrived=lambda: arrived[0]) == 20


def test_no_try_begins_after_the_time_is_over() -> None:
    calls = [0]

    def attempt() -> NoReturn:
        calls[0] += 1
        raise PassingError(parts.because("download.404", "x"))

    with pytest.raises(PassingError):
        transport.insist(attempt, seconds=-1)
    assert calls == [1]
