"""A web server on this machine that hands out a folder, and can be told to misbehave."""

import contextlib
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
    headers(handler, 200, {"Content-Length": str(len(data))})
    handler.wfile.write(data)


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
