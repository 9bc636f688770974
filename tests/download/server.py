"""A web server on this machine that hands out a folder, and can be told to misbehave."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]
"""Answers a request for a file in place of the server; gets the file's bytes."""


class Site(ThreadingHTTPServer):
    """Serves `root`; `odd` maps the last part of a path to its odd answers, used up in turn."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.odd: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.sent = 0
        self.encodings: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.encodings.add(self.headers.get("Accept-Encoding", ""))
        self.server.ranges.append(self.headers.get("Range", ""))
        file = self.server.root / self.path.lstrip("/")
        data = file.read_bytes() if file.is_file() else b""
        if odd := self.server.odd.get(file.name):
            (odd.pop(0) if len(odd) > 1 else odd[0])(self, data)
        elif file.is_file():
            plain(self, data)
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def plain(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    """Answer as servers do, also who asks for what follows a place."""
    start, named = start_of(handler), {}
    if start:
        named["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
    headers(handler, 206 if start else 200, named | {"Content-Length": str(len(data) - start)})
    send(handler, data[start:])


def whole(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    """Answer with all of it, whatever was asked for."""
    headers(handler, 200, {"Content-Length": str(len(data))})
    send(handler, data)


def broken_off(after: int, *, ranges: bool = True) -> Answer:
    """Send so many bytes more, and then hang up."""

    def answer(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        start, named = start_of(handler) if ranges else 0, {}
        if start:
            named["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        headers(handler, 206 if start else 200, named | {"Content-Length": str(len(data) - start)})
        send(handler, data[start : start + after])

    return answer


def start_of(handler: BaseHTTPRequestHandler) -> int:
    """Return from where a client wants a file."""
    found = re.fullmatch(r"bytes=([0-9]+)-", handler.headers.get("Range", ""))
    return int(found[1]) if found else 0


def send(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.wfile.write(data)
    site = handler.server
    assert isinstance(site, Site)
    site.sent += len(data)


def headers(handler: BaseHTTPRequestHandler, status: int, lines: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in lines.items():
        handler.send_header(name, value)
    handler.end_headers()


def status(number: int, **lines: str) -> Answer:
    """Answer with a status and no body; `Retry_After` stands for `Retry-After`."""
    named = {name.replace("_", "-"): value for name, value in lines.items()}
    return lambda handler, _: headers(handler, number, {"Content-Length": "0"} | named)


@contextlib.contextmanager
def serve(root: Path) -> Iterator[Site]:
    """Serve `root` on a free port until the block ends."""
    site = Site(root)
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        thread.join()
        site.server_close()
