"""A variant arrives whole, or not at all."""

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Barrier
from typing import Any, NoReturn

import msgspec
import pytest

from tests.download.server import Site, headers, plain, status
from tests.download.unsigned import fetch
from tests.selection import releases
from tests.selection.releases import MODEL, host
from whisperopt import artifact, locks
from whisperopt.download import references, transport
from whisperopt.errors import (
    BadInputError,
    DiskError,
    IntegrityError,
    NetworkError,
    WhisperoptError,
)
from whisperopt.release import catalog as catalogs

pytestmark = pytest.mark.usefixtures("cache")
VM = host("plain-vm-linux")
FOLDER = f"{MODEL}--cpu-gqa-fp32"
Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 # what shutil returns


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def recatalog(release: Path, **changes: Any) -> None:
    """Catalog the release's one variant anew after a change of its files."""
    made = releases.variant("cpu-gqa-fp32", contents=catalogs.describe_files(release / FOLDER))
    made = msgspec.structs.replace(made, **changes)
    (release / catalogs.NAME).write_bytes(catalogs.encode(releases.catalog(made)))


def assert_nothing_left(folder: Path) -> None:
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_variant_arrives_in_the_cache(repo: str, release: Path, cache: Path) -> None:
    made = fetch(MODEL, repo=repo, host=VM)
    assert contents(made.path) == contents(release / FOLDER)
    assert made.manifest.variant == "cpu-gqa-fp32"
    digest = catalogs.read(release).model(MODEL).variants[0].digest
    assert list(cache.iterdir()) == [cache / f"{FOLDER}--{digest[7:19]}"]
    assert made.path == next(cache.iterdir())
    assert all(p.stat().st_nlink == 1 and not p.is_symlink() for p in made.path.iterdir())


@pytest.mark.parametrize("prepared", ["absent", "nested", "empty"])
def test_a_variant_arrives_where_it_is_wanted(
    repo: str, release: Path, tmp_path: Path, prepared: str
) -> None:
    to = tmp_path / "out" / "here" if prepared == "nested" else tmp_path / "here"
    if prepared == "empty":
        to.mkdir()
    assert fetch(MODEL, repo=repo, to=to, host=VM).path == to
    assert contents(to) == contents(release / FOLDER)
    assert not list(to.parent.glob(".staging-*"))


def test_a_second_fetch_downloads_nothing(site: Site, release: Path) -> None:
    first = fetch(MODEL, repo=site.url, host=VM)
    site.asked.clear()
    assert fetch(MODEL, repo=site.url, host=VM) == first
    assert site.asked == ["/metadata/1.root.json", "/repository.json", "/catalog.json"]


def test_progress_covers_every_byte_of_every_file(repo: str, release: Path) -> None:
    seen: dict[str, tuple[int, int]] = {}
    fetch(MODEL, repo=repo, host=VM, progress=lambda f, done, all_: seen.update({f: (done, all_)}))
    sizes = {path.name: path.stat().st_size for path in (release / FOLDER).iterdir()}
    assert seen == {name: (size, size) for name, size in sizes.items()}


@pytest.mark.parametrize("name", ["decoder.onnx", "artifact.json"])
def test_one_changed_byte_is_refused_and_leaves_nothing(
    repo: str, release: Path, cache: Path, name: str
) -> None:
    file = release / FOLDER / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(IntegrityError, match=name) as caught:
        fetch(MODEL, repo=repo, host=VM)
    assert caught.value.exit_code == 4
    assert_nothing_left(cache)


def test_a_truncated_or_longer_file_is_refused_and_leaves_nothing(
    repo: str, release: Path, cache: Path
) -> None:
    file = release / FOLDER / "decoder.onnx"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises((IntegrityError, NetworkError), match=r"decoder\.onnx"):
        fetch(MODEL, repo=repo, host=VM)
    file.write_bytes(whole + b"x")
    with pytest.raises(IntegrityError, match="longer than"):
        fetch(MODEL, repo=repo, host=VM)
    assert_nothing_left(cache)
    file.write_bytes(whole)
    fetch(MODEL, repo=repo, host=VM)


def test_a_missing_file_is_refused_and_leaves_nothing(
    repo: str, release: Path, cache: Path
) -> None:
    (release / FOLDER / "tokenizer.json").unlink()
    with pytest.raises((IntegrityError, NetworkError), match=r"tokenizer\.json"):
        fetch(MODEL, repo=repo, host=VM)
    assert_nothing_left(cache)


def test_a_server_that_breaks_off_midway_leaves_nothing(site: Site, cache: Path) -> None:
    def half(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        headers(handler, 200, {"Content-Length": str(len(data))})
        handler.wfile.write(data[: len(data) // 2])

    site.odd["decoder.onnx"] = [half]
    with pytest.raises(NetworkError) as caught:
        fetch(MODEL, repo=site.url, host=VM)
    assert caught.value.exit_code == 6
    assert_nothing_left(cache)
    site.odd["decoder.onnx"] = [half, plain]
    fetch(MODEL, repo=site.url, host=VM)


def test_a_redirect_to_another_host_over_http_leaves_nothing(site: Site, cache: Path) -> None:
    site.odd["encoder.onnx"] = [status(301, Location="http://models.example/encoder.onnx")]
    with pytest.raises(NetworkError, match="not encrypted"):
        fetch(MODEL, repo=site.url, host=VM)
    assert_nothing_left(cache)


@pytest.mark.parametrize("kill", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_being_stopped_midway_leaves_nothing(
    repo: str, tmp_path: Path, kill: type[BaseException]
) -> None:
    def stop(file: str, done: int, size: int) -> NoReturn:
        raise kill

    with pytest.raises(kill):
        fetch(MODEL, repo=repo, to=tmp_path / "to" / "here", host=VM, progress=stop)
    assert_nothing_left(tmp_path / "to")


def test_a_full_disk_is_noticed_before_the_first_byte(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = releases.write_release(tmp_path / "twin").model(MODEL).variants[0].size
    needed = size * 105 // 100
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, needed - 1))
    with pytest.raises(DiskError, match=f"needs {needed} bytes") as caught:
        fetch(MODEL, repo=site.url, to=tmp_path / "to" / "here", host=VM)
    assert caught.value.exit_code == 5
    assert site.asked == ["/metadata/1.root.json", "/repository.json", "/catalog.json"]
    assert not (tmp_path / "to").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, needed))
    fetch(MODEL, repo=site.url, to=tmp_path / "to" / "here", host=VM)


@pytest.mark.parametrize(
    ("number", "error", "text"),
    [
        (errno.ENOSPC, DiskError, r"is full \([0-9]+ MB free\)"),
        (errno.EDQUOT, DiskError, r"is full \([0-9]+ MB free\)"),
        (errno.EIO, DiskError, "cannot be written"),
        (errno.EACCES, BadInputError, "cannot be written.*Choose another folder"),
    ],
)
def test_a_disk_that_fails_while_writing_leaves_nothing(
    release: Path, cache: Path, number: int, error: type[WhisperoptError], text: str
) -> None:
    def sync(_: int) -> NoReturn:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        with pytest.raises(error, match=text):
            fetch(MODEL, repo=release, host=VM)
    assert_nothing_left(cache)


@pytest.mark.parametrize("spoil", ["other file", "lacks", "extra", "changed", "link", "file"])
def test_a_folder_with_something_else_is_never_touched(
    repo: str, release: Path, tmp_path: Path, spoil: str
) -> None:
    to = tmp_path / "here"
    if spoil == "file":
        to.write_bytes(b"mine")
    elif spoil == "other file":
        to.mkdir()
        (to / "thesis.txt").write_bytes(b"mine")
    else:
        shutil.copytree(release / FOLDER, to)
        if spoil == "extra":
            (to / "thesis.txt").write_bytes(b"mine")
        elif spoil == "changed":
            (to / "decoder.onnx").write_bytes(b"x" * (to / "decoder.onnx").stat().st_size)
        else:
            (to / "decoder.onnx").unlink()
        if spoil == "link":
            (to / "decoder.onnx").symlink_to(release / FOLDER / "decoder.onnx")
    before = contents(to) if to.is_dir() else to.read_bytes()
    with pytest.raises(BadInputError, match="Remove it, or choose another folder"):
        fetch(MODEL, repo=repo, to=to, host=VM)
    assert (contents(to) if to.is_dir() else to.read_bytes()) == before


def test_a_folder_that_already_holds_the_variant_is_used(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release / FOLDER, tmp_path / "here")
    shutil.rmtree(release / FOLDER)
    assert fetch(MODEL, repo=release, to=tmp_path / "here", host=VM).path == tmp_path / "here"


def test_fetches_at_the_same_time_end_with_one_good_artifact(
    repo: str, site: Site, release: Path, cache: Path
) -> None:
    with ThreadPoolExecutor(8) as pool:
        (path,) = set(pool.map(lambda _: fetch(MODEL, repo=repo, host=VM).path, range(8)))
    assert list(cache.iterdir()) == [path]
    assert contents(path) == contents(release / FOLDER)
    asked = [path for path in site.asked if path.startswith(f"/{FOLDER}/")]
    assert len({*asked}) == len(asked)
    assert len(asked) in {0, 4}


def test_somebody_who_is_stuck_is_not_waited_for_for_ever(
    repo: str, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_START_SECONDS", 0.1)
    variant = catalogs.read(release).model(MODEL).variants[0]
    with references.turn(references.folder_of(MODEL, variant)) as mine:
        assert mine
        assert contents(fetch(MODEL, repo=repo, host=VM).path) == contents(release / FOLDER)


def test_where_locks_lie_fetches_at_the_same_time_end_well_too(
    repo: str, release: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Barrier(4)

    def wait_for_all(file: str, done: int, size: int) -> None:
        if file == "artifact.json":
            start.wait(timeout=30)  # all have found nothing there, and are about to download

    def bring(_: int) -> Path:
        return fetch(MODEL, repo=repo, host=VM, progress=wait_for_all).path

    monkeypatch.setattr(locks, "lock", lambda _: True)
    with ThreadPoolExecutor(4) as pool:
        (path,) = set(pool.map(bring, range(4)))
    assert list(cache.iterdir()) == [path]
    assert contents(path) == contents(release / FOLDER)


def test_losing_the_race_against_other_bytes_is_an_error(repo: str, tmp_path: Path) -> None:
    to = tmp_path / "here"

    def spoil(file: str, done: int, size: int) -> None:
        to.mkdir(exist_ok=True)
        (to / "thesis.txt").write_bytes(b"mine")

    with pytest.raises(WhisperoptError, match="cannot be written"):
        fetch(MODEL, repo=repo, to=to, host=VM, progress=spoil)
    assert contents(to) == {"thesis.txt": b"mine"}
    assert not list(tmp_path.glob(".staging-*"))


def test_a_folder_that_cannot_be_made_is_bad_input(repo: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInputError, match="cannot be written"):
        fetch(MODEL, repo=repo, to=tmp_path / "file" / "here", host=VM)


@pytest.mark.parametrize("manifest", [b"{}", b"\xff", b""])
def test_bytes_that_match_but_are_no_artifact_are_refused(
    release: Path, cache: Path, manifest: bytes
) -> None:
    (release / FOLDER / artifact.MANIFEST).write_bytes(manifest)
    recatalog(release)
    with pytest.raises(IntegrityError, match=r"no usable artifact\.json"):
        fetch(MODEL, repo=release, host=VM)
    assert_nothing_left(cache)


def test_an_artifact_of_another_name_is_refused(release: Path, cache: Path) -> None:
    recatalog(release, name="cpu-gqa-int8")
    with pytest.raises(IntegrityError, match=r"calls itself cpu-gqa-fp32 of tiny\.en"):
        fetch(MODEL, repo=release, host=VM)
    assert_nothing_left(cache)


def test_what_a_killed_fetch_left_is_removed_by_the_next(release: Path, tmp_path: Path) -> None:
    to = tmp_path / "to"
    code = (
        "import os, sys; from whisperopt.download import fetch\n"
        "_, model, repo, to = sys.argv\n"
        "fetch(model, repo=repo, to=to, progress=lambda *_: os._exit(9))"
    )
    recorded = Path(releases.__file__).parent.parent / "hosts" / "plain-vm-linux.json"
    killed = subprocess.run(
        [sys.executable, "-c", code, MODEL, release, to / "here"],
        env=os.environ | {"WHISPEROPT_HOST": str(recorded)},
        check=False,
    )
    assert killed.returncode == 9
    assert list(to.iterdir())
    fetch(MODEL, repo=release, to=to / "here", host=VM)
    assert [path.name for path in to.iterdir()] == ["here"]
