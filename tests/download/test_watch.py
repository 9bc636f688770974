"""A server cannot hold a client, and what the environment says of networks is obeyed."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.download.server import Site, headers, plain, serve, status
from tests.download.test_transport import DATA, root, site
from whisperopt.download import transport
from whisperopt.download.connection import proxy_of
from whisperopt.download.transport import HttpSource, PassingError, open_source
from whisperopt.errors import BadInputError, NetworkError

__all__ = ["root", "site"]
Talk = Callable[[Callable[[bytes], None]], None]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_PAUSES_SECONDS", (0.0, 0.0, 0.0))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextlib.contextmanager
def talking(talk: Talk) -> Iterator[str]:
    """Serve what `talk` says to everybody, for as long as he listens."""
    ended = threading.Event()

    def answer(client: socket.socket) -> None:
        def say(data: bytes) -> None:
            if ended.is_set():
                raise OSError
            client.sendall(data)

        with client, contextlib.suppress(OSError):
            client.recv(65536)
            talk(say)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def accept() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    client = server.accept()[0]
                    threading.Thread(target=answer, args=(client,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        ended.set()
        thread.join()


def drip(text: bytes, *, first: bytes = b"", pause: float = 0.01) -> Talk:
    def talk(say: Callable[[bytes], None]) -> None:
        say(first)
        while True:
            say(text)
            time.sleep(pause)

    return talk


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "a byte of the body now and then": drip(
        b"x", first=b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"
    ),
    "a body without a length": drip(b"x", first=b"HTTP/1.0 200 OK\r\n\r\n"),
    "a byte of the headers now and then": drip(b"x", first=b"HTTP/1.1 200 OK\r\nX-Long: "),
    "a byte of the status line": drip(b"H"),
    "continue for ever": drip(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0),
    "trailers for ever": drip(b"X-Trailer: x\r\n", first=CHUNKED + b"3\r\nabc\r\n0\r\n", pause=0),
    "chunks of a byte": drip(b"1\r\nx\r\n", first=CHUNKED),
    "nothing": drip(b""),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_no_server_can_hold_a_client(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_WINDOW_SECONDS", 0.15)
    with talking(ENDLESS[what]) as url, pytest.raises(NetworkError) as caught:
        transport.read(HttpSource(url), "weights.bin", 10_000)
    assert caught.value.reason.code == "download.slow"


def test_a_total_time_that_grows_with_the_size_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert transport.most_seconds(2**30) > 10 * transport.most_seconds(2**20)
    monkeypatch.setattr(transport, "_START_SECONDS", 0.2)
    monkeypatch.setattr(transport, "_MEAN_RATE", 1e9)
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n"
    with (
        talking(drip(b"x" * 1000, first=first)) as url,
        pytest.raises(NetworkError) as caught,
    ):
        transport.read(HttpSource(url), "weights.bin", 10_000_000)
    assert caught.value.reason.code == "download.late"


def test_a_server_that_is_slow_but_not_too_slow_is_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        headers(handler, 200, {"Content-Length": "3000"})
        for _ in range(30):
            handler.wfile.write(data[:100])
            time.sleep(0.04)

    monkeypatch.setattr(transport, "_WINDOW_SECONDS", 0.5)

    site.odd["weights.bin"] = [slowly]
    assert len(transport.read(HttpSource(site.url), "weights.bin", 10_000)) == 3000


PAGE = b"\n<!DOCTYPE html><html>Please sign in</html>"


def page(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    named = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(PAGE))}
    headers(handler, 200, named)
    handler.wfile.write(PAGE)


def test_a_sign_in_page_is_named(site: Site, tmp_path: Path) -> None:
    site.odd["weights.bin"] = [page]
    with serve(tmp_path) as portal:
        portal.odd["login"] = [page]
        site.odd["sent.away"] = [status(302, Location=f"{portal.url}/login")]
        site.odd["required"] = [status(511)]
        for path in ("weights.bin", "sent.away", "required"):
            with pytest.raises(NetworkError, match="sign-in page") as caught:
                transport.read(HttpSource(site.url), path, 10_000)
            assert caught.value.exit_code == 6
        assert f"{portal.url}/login" in _told(site, "sent.away")
    assert site.asked.count("/weights.bin") == 1


def _told(site: Site, path: str) -> str:
    with pytest.raises(NetworkError) as caught:
        transport.read(HttpSource(site.url), path, 10_000)
    return str(caught.value)


def test_a_file_that_is_called_a_page_and_is_none_arrives(site: Site) -> None:
    def named(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        headers(handler, 200, {"Content-Type": "text/html", "Content-Length": str(len(data))})
        handler.wfile.write(data)

    site.odd["weights.bin"] = [named]
    assert transport.read(HttpSource(site.url), "weights.bin", len(DATA)) == DATA


def test_a_proxy_of_the_environment_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(tmp_path) as proxy:
        proxy.odd["catalog.json"] = [lambda handler, _: plain(handler, b"{}")]
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://me:se%40cret@"))
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://me:se%40cret@"))
        source = HttpSource("http://models.example/r", insecure=True)
        assert transport.read(source, "catalog.json", 10) == b"{}"
        assert proxy.asked == ["http://models.example/r/catalog.json"]
        monkeypatch.setenv("NO_PROXY", "models.example")
        monkeypatch.setenv("no_proxy", "models.example")
        assert proxy_of("http://models.example/r") is None
        assert proxy_of("http://other.example:80/r") is not None


def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks9://me:secret@proxy.example")
    monkeypatch.setenv("https_proxy", "socks9://me:secret@proxy.example")
    with pytest.raises(BadInputError, match="no proxy that can be used") as caught:
        transport.read(HttpSource("https://models.example"), "catalog.json", 10)
    assert "secret" not in str(caught.value)


def test_what_goes_through_a_proxy_elsewhere_does_not_stay_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    with pytest.raises(BadInputError, match="not encrypted"):
        open_source("http://127.0.0.1:1/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert isinstance(open_source("http://127.0.0.1:1/"), HttpSource)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_that_are_not_there_are_named(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, "/nowhere/ca.pem")
    with pytest.raises(BadInputError, match=rf"{variable}.*/nowhere/ca\.pem"):
        transport.read(HttpSource("https://models.example"), "catalog.json", 10)


@pytest.fixture
def encrypted(root: Path, tmp_path: Path) -> Iterator[tuple[Site, Path]]:
    """A server with a certificate that nobody knows, and its file."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    if not shutil.which("openssl") or subprocess.run(command, check=False).returncode:
        pytest.skip("there is no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve(root) as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        yield running, certificate


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_of_the_environment_count_and_encrypted_connections_are_watched(
    encrypted: tuple[Site, Path], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    site, certificate = encrypted
    url = f"https://localhost:{site.server_port}"
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NetworkError, match="certificate") as caught:
        transport.read(HttpSource(url), "weights.bin", len(DATA))
    assert not isinstance(caught.value, PassingError)  # it will not be better the next time
    monkeypatch.setenv(variable, str(certificate))
    assert transport.read(HttpSource(url), "weights.bin", len(DATA)) == DATA

    def dripping(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        headers(handler, 200, {"Content-Length": "9000"})
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.01)

    site.odd["weights.bin"] = [dripping]
    monkeypatch.setattr(transport, "_WINDOW_SECONDS", 0.15)
    with pytest.raises(NetworkError) as caught:
        transport.read(HttpSource(url), "weights.bin", len(DATA))
    assert caught.value.reason.code == "download.slow"
