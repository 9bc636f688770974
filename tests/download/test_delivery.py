"""A variant arrives whole, or not at all."""

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Barrier
from typing import Any, NoReturn

import msgspec
import pytest
from click.testing import CliRunner

import whisperopt
from tests.download.server import Site, headers, plain, serve, status
from tests.selection import releases
from tests.selection.releases import MODEL, host
from whisperopt import artifact, registry
from whisperopt import download as fetcher
from whisperopt.backend import Probe
from whisperopt.cli import main
from whisperopt.download import cached, delivery, explain, fetch, transport
from whisperopt.errors import (
    BadInputError,
    DiskError,
    IntegrityError,
    NetworkError,
    NothingFitsError,
    WhisperoptError,
)
from whisperopt.release import catalog as catalogs
from whisperopt.release import store

VM = host("plain-vm-linux")
FOLDER = f"{MODEL}--cpu-gqa-fp32"
Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 # what shutil returns


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transport, "_PAUSES_SECONDS", (0.0, 0.0, 0.0))
    return tmp_path / "cache" / "artifacts"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    releases.write_release(folder)
    return folder


@pytest.fixture
def site(release: Path) -> Iterator[Site]:
    with serve(release) as running:
        yield running


@pytest.fixture(params=["folder", "server"])
def repo(request: pytest.FixtureRequest, release: Path, site: Site) -> str:
    return str(release) if request.param == "folder" else site.url


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
    assert site.asked == ["/catalog.json"]


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


def test_a_repo_without_a_catalog_says_so(repo: str, release: Path) -> None:
    (release / catalogs.NAME).unlink()
    with pytest.raises((BadInputError, NetworkError), match=r"catalog\.json"):
        fetch(MODEL, repo=repo, host=VM)


def test_a_server_that_breaks_off_midway_leaves_nothing(site: Site, cache: Path) -> None:
    def half(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        headers(handler, 200, {"Content-Length": str(len(data))})
        handler.wfile.write(data[: len(data) // 2])

    site.odd["decoder.onnx"] = [half, plain]
    with pytest.raises(NetworkError) as caught:
        fetch(MODEL, repo=site.url, host=VM)
    assert caught.value.exit_code == 6
    assert_nothing_left(cache)
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
    assert site.asked == ["/catalog.json"]
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
    repo: str, release: Path, cache: Path
) -> None:
    start = Barrier(4)

    def wait_for_all(file: str, done: int, size: int) -> None:
        if file == "artifact.json":
            start.wait(timeout=10)  # all have found nothing there, and are about to download

    def one(_: int) -> Path:
        return fetch(MODEL, repo=repo, host=VM, progress=wait_for_all).path

    with ThreadPoolExecutor(4) as pool:
        (path,) = set(pool.map(one, range(4)))
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


def test_the_host_decides_which_variant_arrives(tmp_path: Path) -> None:
    release = tmp_path / "release"
    names = ("cuda-gqa-fp16", "openvino-decomposed-fp32", "cpu-gqa-fp32")
    releases.write_release(release, *names)
    for name, machine in zip(
        names, ("a100-linux", "intel-laptop-linux", "plain-vm-linux"), strict=True
    ):
        assert fetch(MODEL, repo=release, host=host(machine)).manifest.variant == name
    made = fetch(MODEL, repo=release, host=host("a100-linux"), target="cpu")
    assert made.manifest.target == "cpu"


def test_a_recorded_host_replaces_detection(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Path(releases.__file__).parent.parent / "hosts" / "rtx4070-windows-bare.json"
    monkeypatch.setenv("WHISPEROPT_HOST", str(recorded))
    with pytest.raises(NothingFitsError, match="onnxruntime is not installed"):
        fetch(MODEL, repo=release)


def test_a_target_or_model_that_the_release_lacks_is_bad_input(release: Path) -> None:
    with pytest.raises(BadInputError, match=r"no variant of tiny\.en for the target 'cqu'.*'cpu'"):
        fetch(MODEL, repo=release, host=VM, target="cqu")
    with pytest.raises(BadInputError, match="no model 'huge'"):
        fetch("huge", repo=release, host=VM)


def test_explain_judges_every_model_without_fetching(site: Site) -> None:
    decided = explain(site.url, host=VM)
    assert {name: [d.accepted for d in found] for name, found in decided.items()} == {
        MODEL: [True]
    }
    assert explain(site.url, MODEL, VM, "cuda")[MODEL][0].accepted is False
    assert set(site.asked) == {"/catalog.json"}
    with pytest.raises(BadInputError, match="no model 'huge'"):
        explain(site.url, "huge", VM)


@pytest.mark.parametrize("flags", [[], ["--insecure"]])
def test_explain_on_the_command_line_takes_the_advice_to_be_insecure(
    flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []

    def answer(repo: str, *_: object, insecure: bool, **_more: object) -> dict[str, object]:
        heard.append(insecure)
        transport.open_source(repo, insecure=insecure)
        return {}

    monkeypatch.setattr(fetcher, "explain", answer)
    command = ["explain", "http://models.example/release", *flags]
    done = CliRunner().invoke(main, command)
    assert heard == [bool(flags)]
    assert done.exit_code == (0 if flags else 2)
    assert ("allow it with --insecure" in done.output) != bool(flags)


def test_a_release_without_a_model_says_so(repo: str, release: Path) -> None:
    empty = msgspec.structs.replace(releases.catalog(), models={})
    (release / catalogs.NAME).write_bytes(catalogs.encode(empty))
    for ask in (lambda: explain(repo, host=VM), lambda: fetch(MODEL, repo=repo, host=VM)):
        with pytest.raises(BadInputError, match="The release holds no model"):
            ask()


STAGING = ".staging-{}-{}-" + "0" * 32


def ended_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


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
    assert len(list(to.iterdir())) == 1
    fetch(MODEL, repo=release, to=to / "here", host=VM)
    assert [path.name for path in to.iterdir()] == ["here"]


def test_only_what_no_fetch_can_still_need_is_swept(release: Path, tmp_path: Path) -> None:
    here, gone = delivery._machine(), ended_process()
    kept = [
        STAGING.format(here, os.getpid()),
        STAGING.format("0" * 8, gone),
        ".staging-of-somebody-else",
        f".staging-{gone}-abc",
    ]
    swept = [STAGING.format(here, gone), STAGING.format("1" * 8, gone)]
    for name in kept + swept:
        (tmp_path / name / "inside").mkdir(parents=True)
    os.utime(tmp_path / swept[1], (1, 1))
    os.utime(tmp_path / kept[2], (1, 1))
    fetch(MODEL, repo=release, to=tmp_path / "here", host=VM)
    assert {path.name for path in tmp_path.glob(".staging-*")} == set(kept)


def test_an_interrupted_build_is_neither_read_nor_finished(release: Path, tmp_path: Path) -> None:
    (release / ".commit").mkdir()
    (release / catalogs.NAME).rename(release / ".commit" / catalogs.NAME)
    for repo in (release, release.as_uri()):
        with pytest.raises(BadInputError, match="`whisperopt build`"):
            explain(repo, host=VM)
        with pytest.raises(BadInputError, match="`whisperopt build`"):
            fetch(MODEL, repo=repo, to=tmp_path / "to", host=VM)
    assert [path.name for path in (release / ".commit").iterdir()] == [catalogs.NAME]
    assert not (tmp_path / "to").exists()


def test_a_release_that_may_not_be_looked_into_is_told(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> NoReturn:
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(store, "check_whole", fail)
    with pytest.raises(BadInputError, match="cannot be read: denied"):
        explain(release, host=VM)


def test_cached_lists_the_newest_first_and_nothing_else(tmp_path: Path, cache: Path) -> None:
    assert cached(MODEL) == []
    release = tmp_path / "release"
    releases.write_release(release, "cuda-gqa-fp16", "cpu-gqa-fp32")
    gpu = fetch(MODEL, repo=release, host=host("a100-linux")).path
    cpu = fetch(MODEL, repo=release, host=VM).path
    os.utime(gpu / artifact.MANIFEST, (1, 1))
    (cache / f"{MODEL}--broken").mkdir()
    (cache / f"{MODEL}--file").write_bytes(b"")
    (cache / ".staging-0").mkdir()
    shutil.copytree(cpu, cache / "other--cpu")
    assert cached(MODEL) == [cpu, gpu]
    os.utime(cpu / artifact.MANIFEST, (0, 0))
    assert cached(MODEL) == [gpu, cpu]
    assert [cached(name) for name in ("tiny", "other", "../x", "*", "", "/abs")] == [[]] * 6


def test_importing_the_fetcher_pulls_in_nothing_heavy() -> None:
    heavy = {
        "numpy",
        "onnx",
        "onnx_ir",
        "onnxruntime",
        "openvino",
        "torch",
        "urllib3",
        "ssl",
    }
    code = f"import sys, whisperopt.download; print(sorted({heavy} & set(sys.modules)))"
    root = Path(whisperopt.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_runtime_that_does_not_load_here_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody recorded this host: what is installed is asked before it is chosen."""
    monkeypatch.delenv("WHISPEROPT_HOST", raising=False)
    asked = []

    def probe(name: str) -> Probe:
        asked.append(name)
        return Probe(runtime=name, reason=None if name == "cpu" else f"{name} lacks a library")

    releases.write_release(tmp_path / "r", "cuda-gqa-fp16", "cpu-gqa-fp32")
    monkeypatch.setattr(registry, "probe", probe)
    monkeypatch.setattr("whisperopt.host.detect", lambda: host("rtx4070-windows"))
    best, broken = explain(tmp_path / "r")[MODEL]
    assert asked == ["cuda", "cpu"]
    assert (best.variant.backend, best.accepted) == ("cpu", True)
    assert broken.reason == "does not work on this host: cuda lacks a library"
