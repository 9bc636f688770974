"""Servers and disks that behave, and those that do not."""

import contextlib
import email.utils
import gzip
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.download.server import Site, headers, plain, serve, status
from whisperopt.download import parts, transport
from whisperopt.download.transport import (
    DirectorySource,
    HttpSource,
    PassingError,
    Report,
    Source,
    open_source,
)
from whisperopt.errors import BadInputError, IntegrityError, NetworkError
from whisperopt.reasons import because
from whisperopt.release.catalog import File

DATA = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_PAUSES_SECONDS", (0.0, 0.0, 0.0))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(DATA)
    return folder


@pytest.fixture
def site(root: Path) -> Iterator[Site]:
    with serve(root) as running:
        yield running


@pytest.fixture(params=["folder", "file url", "server", "server with slash"])
def source(request: pytest.FixtureRequest, root: Path, site: Site) -> Source:
    names: dict[str, str | Path] = {
        "folder": root,
        "file url": root.as_uri(),
        "server": site.url,
        "server with slash": site.url + "/",
    }
    return open_source(names[request.param])


def copy(
    source: Source, tmp_path: Path, size: int = len(DATA), report: Report | None = None
) -> str:
    file, to = File(path="weights.bin", size=size, sha256=SHA256), tmp_path / "copy.bin"
    with parts.fetched(source, "weights.bin", file, tmp_path / "parts", report) as part:
        part.move(to)
    assert list((tmp_path / "parts").iterdir()) == []
    return hashlib.sha256(to.read_bytes()).hexdigest()


def test_a_file_arrives_whole_and_hashed(source: Source, tmp_path: Path) -> None:
    seen: list[int] = []

    def report(done: int, size: int) -> None:
        assert size == len(DATA)
        seen.append(done)

    assert copy(source, tmp_path, report=report) == SHA256
    assert seen == sorted(seen)
    assert seen[-1] == len(DATA)
    assert transport.read(source, "weights.bin", len(DATA)) == DATA


def test_a_file_longer_than_the_catalog_says_is_cut_off(source: Source, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="longer than the 1000 bytes"):
        copy(source, tmp_path, size=1000)
    assert list((tmp_path / "parts").iterdir()) == []
    with pytest.raises(IntegrityError, match="longer than 1000 bytes"):
        transport.read(source, "weights.bin", 1000)


def test_plain_bytes_are_asked_for(site: Site) -> None:
    transport.read(HttpSource(site.url), "weights.bin", len(DATA))
    assert site.encodings == {"identity"}


def test_an_endless_body_is_cut_off(site: Site, tmp_path: Path) -> None:
    def endless(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        headers(handler, 200, {})
        for _ in range(200):
            handler.wfile.write(data)

    site.odd["weights.bin"] = [endless]
    with pytest.raises(IntegrityError, match="longer than"):
        copy(HttpSource(site.url), tmp_path)


def test_a_missing_file_over_http_is_named_with_its_url(site: Site) -> None:
    with pytest.raises(NetworkError, match="404") as caught:
        transport.read(HttpSource(site.url), "catalog.json", 10)
    assert f"{site.url}/catalog.json" in str(caught.value)
    assert len(site.asked) == 1


def test_a_missing_file_in_a_folder_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="is not a release"):
        transport.read(DirectorySource(root), "catalog.json", 10)
    with pytest.raises(BadInputError, match="is not a release"):
        transport.read(DirectorySource(root / "weights.bin"), "catalog.json", 10)
    with pytest.raises(IntegrityError, match=r"no file decoder\.onnx"):
        list(DirectorySource(root).chunks("decoder.onnx", 1))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_a_release_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "catalog.json")
    with pytest.raises(BadInputError, match="is not a release"):
        transport.read(DirectorySource(root), "catalog.json", 10)


@pytest.mark.parametrize("promised", [True, False])
def test_a_body_that_ends_early_is_a_network_error(
    site: Site, tmp_path: Path, promised: bool
) -> None:
    def truncated(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        length = len(data) if promised else len(data) // 2
        headers(handler, 200, {"Content-Length": str(length)})
        handler.wfile.write(data[: len(data) // 2])

    site.odd["weights.bin"] = [truncated]
    with pytest.raises(NetworkError, match=r"weights\.bin (broke off|ended) after [0-9]"):
        copy(HttpSource(site.url), tmp_path)


def test_compressed_bytes_are_refused(site: Site, tmp_path: Path) -> None:
    def compressed(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        body = gzip.compress(data)
        headers(handler, 200, {"Content-Encoding": "gzip", "Content-Length": str(len(body))})
        handler.wfile.write(body)

    site.odd["weights.bin"] = [compressed]
    with pytest.raises(NetworkError, match="'gzip', plain bytes were asked for"):
        copy(HttpSource(site.url), tmp_path)


@pytest.mark.parametrize("busy", [429, 503])
def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path, busy: int) -> None:
    site.odd["weights.bin"] = [status(busy, Retry_After="0"), status(busy), plain]
    assert copy(HttpSource(site.url), tmp_path) == SHA256
    assert len(site.asked) == 3


def test_a_busy_server_is_given_up_after_three_more_tries(site: Site, tmp_path: Path) -> None:
    site.odd["weights.bin"] = [status(503)]
    with pytest.raises(NetworkError, match="status 503"):
        copy(HttpSource(site.url), tmp_path)
    assert len(site.asked) == 4


def test_pauses_grow_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.undo()  # there is waiting
    monkeypatch.setattr(time, "sleep", waits.append)

    def fail() -> NoReturn:
        raise PassingError(because("download.404", "x"))

    for _ in range(2):
        with pytest.raises(PassingError):
            transport.insist(fail, seconds=60)
    assert waits[:5] == sorted(waits[:5])
    assert len(waits) == 10
    assert waits[:5] != waits[5:]


def test_the_wait_that_a_server_asks_for_is_honoured_within_reason(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    asked = ["7", "86400", "soon"]
    site.odd["weights.bin"] = [*(status(503, Retry_After=value) for value in asked), plain]
    copy(HttpSource(site.url), tmp_path)
    assert waits == [7.0, 60.0, 0.0]


def test_a_date_to_wait_for_is_honoured(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    at = email.utils.formatdate(time.time() + 40, usegmt=True)
    site.odd["weights.bin"] = [status(429, Retry_After=at), plain]
    copy(HttpSource(site.url), tmp_path)
    assert 20 < waits[0] <= 40


def test_other_failures_of_a_server_are_not_repeated(site: Site, tmp_path: Path) -> None:
    site.odd["weights.bin"] = [status(500)]
    with pytest.raises(NetworkError, match="status 500"):
        copy(HttpSource(site.url), tmp_path)
    assert len(site.asked) == 1


def test_a_connection_lost_before_the_answer_is_tried_again(site: Site, tmp_path: Path) -> None:
    def hang_up(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)

    site.odd["weights.bin"] = [hang_up, hang_up, plain]
    assert copy(HttpSource(site.url), tmp_path) == SHA256


def test_a_server_that_is_not_there_is_a_network_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(NetworkError, match=r"cannot be reached: .*refused"):
        transport.read(HttpSource(f"http://127.0.0.1:{port}"), "catalog.json", 10)


def test_a_server_that_falls_silent_is_a_network_error(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        headers(handler, 200, {"Content-Length": str(len(data))})
        handler.wfile.flush()
        time.sleep(0.5)

    monkeypatch.setattr(transport, "_READ_SECONDS", 0.1)
    site.odd["weights.bin"] = [silent]
    with pytest.raises(NetworkError, match="timed out"):
        copy(HttpSource(site.url), tmp_path)
    assert len(site.asked) == 2  # nobody waits for such a one four times


def test_redirects_are_followed_up_to_five(site: Site, tmp_path: Path) -> None:
    hop = status(302, Location="/weights.bin")
    site.odd["weights.bin"] = [hop] * 5 + [plain]
    assert copy(HttpSource(site.url), tmp_path) == SHA256
    site.odd["weights.bin"] = [hop]
    with pytest.raises(NetworkError, match="redirects more than 5 times"):
        transport.read(HttpSource(site.url), "weights.bin", 10)


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://models.example/weights.bin", "not encrypted"),
        ("http://models.example\\@127.0.0.1/weights.bin", "not encrypted"),
        ("//models.example/weights.bin", "not encrypted"),
        ("file:///etc/passwd", "not the address of a web server"),
        ("ftp://127.0.0.1/x", "not the address of a web server"),
        ("http://[", "no address"),
        ("http://127.0.0.1:port/", "not an address"),
    ],
)
def test_a_redirect_to_somewhere_unsafe_is_refused(site: Site, location: str, why: str) -> None:
    site.odd["weights.bin"] = [status(302, Location=location)]
    with pytest.raises(NetworkError, match=why):
        transport.read(HttpSource(site.url), "weights.bin", 10)
    assert len(site.asked) == 1


@pytest.mark.parametrize("insecure", [False, True])
def test_a_redirect_never_gives_up_encryption(insecure: bool) -> None:
    source = HttpSource("https://models.example/release", insecure=insecure)
    there = "http://127.0.0.1/weights.bin"
    assert source._distrust(there, came_from="HTTPS://models.example/x") == because(
        "address.gives-up", there
    )
    assert source._distrust("https://elsewhere.example/", came_from="https://a.example") is None


@pytest.mark.parametrize(
    "repo",
    [
        "http://models.example/release",
        "http://127.0.0.1.models.example/",
        "http://models.example\\@127.0.0.1/",
        "ftp://models.example/",
        "s3://bucket/release",
        "file://server/share",
        "https://",
        "http://[",
        "https://user:secret@models.example/",
        "https://models.example/?token=1",
        "https://models.example/#x",
    ],
)
def test_an_address_that_cannot_be_trusted_is_bad_input(repo: str) -> None:
    with pytest.raises(BadInputError):
        open_source(repo)


@pytest.mark.parametrize(
    "repo",
    ["https://models.example/a", "http://localhost:1/", "http://[::1]:1/", "http://127.9.9.9"],
)
def test_https_and_this_machine_are_trusted(repo: str) -> None:
    assert isinstance(open_source(repo), HttpSource)


def test_plain_http_elsewhere_must_be_allowed() -> None:
    assert isinstance(open_source("http://models.example", insecure=True), HttpSource)


@given(st.text() | st.text().map("http://{}".format) | st.text().map("https://{}".format))
def test_any_text_names_a_source_or_is_bad_input(repo: str) -> None:
    with contextlib.suppress(BadInputError):
        assert open_source(repo).where("catalog.json").endswith("catalog.json")
