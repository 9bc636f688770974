"""Wherever a variant is wanted, it comes whole; what is damaged is mended, who is killed goes on."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.download.server import Site, plain
from tests.download.unsigned import fetch
from tests.selection import releases
from tests.selection.releases import MODEL, host
from whisperopt import artifact
from whisperopt import cache as digests
from whisperopt.download import arrival, references
from whisperopt.download.parts import SUFFIX
from whisperopt.errors import BadInputError, DiskError, NetworkError
from whisperopt.release import store

pytestmark = pytest.mark.usefixtures("cache")
VM = host("plain-vm-linux")
FOLDER = f"{MODEL}--cpu-gqa-fp32"
RECORDED = Path(releases.__file__).parent.parent / "hosts" / "plain-vm-linux.json"
KILLS = int(os.environ.get("WHISPEROPT_KILLS", "3"))
"""Times that a fetch is killed at a random moment."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("repo_kind", ["folder", "server"])
def test_into_a_folder_that_is_there_everything_comes_through_its_inside(
    release: Path, site: Site, tmp_path: Path, repo_kind: str
) -> None:
    """It may be a mount point, or lie in a folder that somebody else owns."""
    parent = tmp_path / "somebody's"
    (parent / "mine").mkdir(parents=True)
    inode = (parent / "mine").stat().st_ino
    seen = set()

    def look(*_: object) -> None:
        seen.update(path.name for path in parent.iterdir())

    repo = release if repo_kind == "folder" else site.url
    made = fetch(MODEL, repo=repo, to=parent / "mine", host=VM, progress=look)
    assert seen == {"mine"}
    assert (parent / "mine").stat().st_ino == inode
    assert contents(made.path) == contents(release / FOLDER)


def test_an_installation_that_was_cut_short_is_gone_on_with(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "mine"
    to.mkdir()
    real, left = Path.replace, [2]

    def replace(self: Path, target: Path) -> Path:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            fetch(MODEL, repo=release, to=to, host=VM)
    assert len(list(to.iterdir())) == 2
    assert not artifact.is_artifact(to)
    (to / f".staging-{'a' * 32}").mkdir()  # as who was killed leaves it
    fetch(MODEL, repo=release, to=to, host=VM)
    assert contents(to) == contents(release / FOLDER)


def test_a_loop_of_links_is_bad_input(release: Path, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(BadInputError, match="loop of links"):
        fetch(MODEL, repo=release, to=tmp_path / "a", host=VM)


def test_where_nothing_may_be_written_is_found_before_the_first_byte(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.mkdir

    def refuse(self: Path, *args: object, **options: object) -> None:
        if store.is_staging(self):
            raise PermissionError(13, "Permission denied", str(self))
        real(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(BadInputError, match="cannot be written: Permission denied"):
        fetch(MODEL, repo=site.url, to=tmp_path / "to", host=VM)
    assert files_asked(site) == []


@pytest.mark.parametrize("damage", ["flipped", "cut", "lacks", "more", "manifest"])
def test_a_damaged_entry_of_the_cache_is_mended(
    site: Site, release: Path, cache: Path, damage: str
) -> None:
    made = fetch(MODEL, repo=site.url, host=VM).path
    site.asked.clear()
    weights = made / "decoder.onnx"
    if damage == "flipped":
        data = bytearray(weights.read_bytes())
        data[len(data) // 2] ^= 1
        weights.write_bytes(data)
    elif damage == "cut":
        weights.write_bytes(b"")
    elif damage == "lacks":
        weights.unlink()
    elif damage == "more":
        (made / "more").write_bytes(b"x")
    else:
        (made / artifact.MANIFEST).write_bytes(b"{")
    assert fetch(MODEL, repo=site.url, host=VM).path == made
    assert contents(made) == contents(release / FOLDER)
    assert list(cache.iterdir()) == [made]
    assert len(files_asked(site)) == (damage != "more")  # only what is damaged is asked for


def test_what_cannot_be_mended_stays_as_it_is(site: Site, release: Path) -> None:
    made = fetch(MODEL, repo=site.url, host=VM).path
    (made / "decoder.onnx").write_bytes(b"")
    (release / FOLDER / "decoder.onnx").unlink()
    with pytest.raises(NetworkError, match="404"):
        fetch(MODEL, repo=site.url, host=VM)
    assert (made / "encoder.onnx").exists()


def test_bytes_that_are_here_are_not_asked_for_again(
    tmp_path: Path, site: Site, release: Path
) -> None:
    shutil.rmtree(release)
    releases.write_release(release, "cuda-gqa-fp16", "cpu-gqa-fp32")
    fetch(MODEL, repo=site.url, to=tmp_path / "gpu", host=host("a100-linux"))
    site.asked.clear()
    made = fetch(MODEL, repo=site.url, host=VM)
    assert files_asked(site) == [f"/{FOLDER}/artifact.json"]
    assert contents(made.path) == contents(release / FOLDER)
    (tmp_path / "gpu" / "encoder.onnx").write_bytes(b"x" * 7000)
    shutil.rmtree(made.path)
    fetch(MODEL, repo=site.url, host=VM)
    assert contents(made.path) == contents(release / FOLDER)


def test_a_cache_that_takes_nothing_is_no_reason_not_to_fetch(
    site: Site, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "file" / "cache"))
    made = fetch(MODEL, repo=site.url, to=tmp_path / "to", host=VM)
    assert contents(made.path) == contents(release / FOLDER)
    assert not list(tmp_path.glob(".staging*"))


def test_without_a_server_what_was_fetched_is_there(
    site: Site, release: Path, tmp_path: Path
) -> None:
    url = site.url
    with pytest.raises(NetworkError, match="--offline"):
        fetch(MODEL, repo=url, host=VM, offline=True)
    made = fetch(MODEL, repo=url, host=VM)
    site.asked.clear()
    assert fetch(MODEL, repo=url, host=VM, offline=True) == made
    copied = fetch(MODEL, repo=url, host=VM, offline=True, to=tmp_path / "copy")
    assert contents(copied.path) == contents(release / FOLDER)
    assert site.asked == []


def files_asked(site: Site) -> list[str]:
    """Return which files of artifacts were asked for, and not what tells of them."""
    return [path for path in site.asked if path.startswith(f"/{FOLDER}/")]


def slowly(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    """Take a tenth of a second for a file."""

    class Slow:
        def write(self, data: bytes) -> None:
            for at in range(0, len(data), len(data) // 10 + 1):
                real.write(data[at : at + len(data) // 10 + 1])
                time.sleep(0.01)

    real, handler.wfile = handler.wfile, Slow()  # type: ignore[assignment]
    try:
        plain(handler, data)
    finally:
        handler.wfile = real


def start(site: Site, to: Path | None, *within: str) -> "subprocess.Popen[bytes]":
    code = "from whisperopt.cli import main; main()"
    into = ["--to", str(to)] if to else []
    return subprocess.Popen(
        [
            *within,
            sys.executable,
            "-c",
            code,
            "fetch",
            MODEL,
            "--repo",
            site.url,
            "--unsigned",
            *into,
        ],
        env=os.environ | {"WHISPEROPT_HOST": str(RECORDED)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def when_asked(site: Site, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a file is on its way."""
    before = len(files_asked(site))
    while len(files_asked(site)) == before:
        assert process.poll() is None
        time.sleep(0.002)


def when_some_is_there(part: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the first bytes of a file lie in its part."""
    while not part.is_file() or not part.stat().st_size:
        assert process.poll() is None
        time.sleep(0.002)


@pytest.mark.parametrize("kills", [KILLS, pytest.param(200, marks=pytest.mark.soak)])
def test_who_is_killed_at_any_moment_leaves_nothing_half(
    site: Site, release: Path, cache: Path, kills: int
) -> None:
    for name in ("encoder.onnx", "decoder.onnx"):
        site.odd[name] = [slowly]
    chance, killed = random.Random(13), 0
    first = f"{digests.sha256(release / FOLDER / 'decoder.onnx')}{SUFFIX}"
    for number in range(kills):
        shutil.rmtree(cache, ignore_errors=True)
        process = start(site, None)
        when_asked(site, process)
        if number:
            time.sleep(chance.random() * 0.3)
        else:  # once for certain inside a file
            when_some_is_there(cache.parent / "parts" / first, process)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        for path in cache.iterdir() if cache.is_dir() else ():
            assert store.is_staging(path) or contents(path) == contents(release / FOLDER)
    assert killed
    made = fetch(MODEL, repo=site.url, host=VM).path
    assert contents(made) == contents(release / FOLDER)
    assert list(cache.iterdir()) == [made]
    assert list((cache.parent / "parts").iterdir()) == []
    assert any(site.ranges)


def test_what_a_killed_fetch_got_is_not_asked_for_again(site: Site, cache: Path) -> None:
    site.odd["decoder.onnx"] = [slowly]
    process = start(site, None)
    while not any(path.endswith("decoder.onnx") for path in site.asked):
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    site.asked.clear()
    fetch(MODEL, repo=site.url, host=VM)
    asked = [path.rpartition("/")[2] for path in site.asked]
    assert "artifact.json" not in asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_asks_to_end_leaves_nothing(
    site: Site, tmp_path: Path, number: signal.Signals
) -> None:
    site.odd["decoder.onnx"] = [slowly]
    (tmp_path / "to").mkdir()
    process = start(site, tmp_path / "to")
    when_asked(site, process)
    process.send_signal(number)
    assert process.wait(30) != 0
    assert list((tmp_path / "to").iterdir()) == []


def test_two_containers_that_share_a_folder_leave_each_other_alone(
    site: Site, release: Path, tmp_path: Path
) -> None:
    """Each has process ids of its own, and does not see the other's."""
    container = ("unshare", "--pid", "--fork", "--mount-proc")
    if not shutil.which("unshare") or subprocess.run([*container, "true"], check=False).returncode:
        pytest.skip("this user may not make a namespace of processes")
    site.odd["decoder.onnx"] = [slowly]
    shared = tmp_path / "shared"
    process = start(site, shared / "theirs", *container)
    when_asked(site, process)
    with store.new_folder(shared) as mine:  # which sweeps first
        assert mine.is_dir()
        assert process.wait(60) == 0
    assert contents(shared / "theirs") == contents(release / FOLDER)


def test_clearing_the_cache_during_a_fetch_harms_nothing(
    site: Site, release: Path, cache: Path
) -> None:
    def clear(*_: object) -> None:
        references.collect(max_bytes=0, days=0)

    made = fetch(MODEL, repo=site.url, host=VM, progress=clear)
    assert contents(made.path) == contents(release / FOLDER)
    assert [removal.path for removal in references.collect(max_bytes=0, days=0)] == [made.path]
    assert list(cache.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Return what makes a disk of so many KiB, where this user may."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(kib: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(command, check=False).returncode:
            pytest.skip("this user may not mount a small disk")
        return place

    yield mounted
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


def test_a_mount_point_is_fetched_into(
    small_disk: Callable[[int], Path], site: Site, release: Path
) -> None:
    to = small_disk(1000)
    fetch(MODEL, repo=site.url, to=to, host=VM)
    assert contents(to) == contents(release / FOLDER)


def test_a_disk_that_is_too_small_is_told_before_the_first_byte(
    small_disk: Callable[[int], Path], site: Site
) -> None:
    with pytest.raises(DiskError) as caught:
        fetch(MODEL, repo=site.url, to=small_disk(16) / "to", host=VM)
    assert caught.value.exit_code == 5
    assert files_asked(site) == []


def test_a_disk_that_fills_up_keeps_the_part_and_the_next_goes_on(
    small_disk: Callable[[int], Path],
    site: Site,
    release: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = small_disk(64)
    monkeypatch.setenv("WHISPEROPT_CACHE", str(disk))
    monkeypatch.setattr(arrival, "_check_room", lambda *_: None)
    (disk / "other").write_bytes(bytes(44_000))
    with pytest.raises(DiskError, match="is full"):
        fetch(MODEL, repo=site.url, host=VM)
    assert list((disk / "parts").iterdir())
    assert not any(store.is_staging(path) for path in (disk / "artifacts").iterdir())
    (disk / "other").unlink()
    made = fetch(MODEL, repo=site.url, host=VM)
    assert contents(made.path) == contents(release / FOLDER)


def test_a_read_only_disk_is_bad_input_before_the_first_byte(
    small_disk: Callable[[int], Path], site: Site
) -> None:
    disk = small_disk(1000)
    command = ["mount", "-o", "remount,ro", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a disk read-only")
    with pytest.raises(BadInputError, match="cannot be written: Read-only"):
        fetch(MODEL, repo=site.url, to=disk / "to", host=VM)
    assert files_asked(site) == []


def test_a_folder_that_vanishes_on_the_way_is_told(site: Site, tmp_path: Path) -> None:
    def vanish(file: str, done: int, size: int) -> None:
        shutil.rmtree(tmp_path / "to", ignore_errors=True)

    (tmp_path / "to").mkdir()
    with pytest.raises((BadInputError, DiskError, OSError)) as caught:
        fetch(MODEL, repo=site.url, to=tmp_path / "to", host=VM, progress=vanish)
    assert "No such file" in str(caught.value)
