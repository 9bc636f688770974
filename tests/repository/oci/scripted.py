"""A registry of a few lines that can be told to misbehave, and remembers what it was asked."""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from whisperopt.download.oci import MANIFEST

Odd = Callable[[BaseHTTPRequestHandler], bool]
"""Answers a request in place of the registry, or returns False."""


class Scripted(ThreadingHTTPServer):
    """Keeps blobs and manifests; `odd` looks at each request first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kept: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str]] = []
        """Method, path and the header Authorization."""
        self.odd: Odd = lambda _: False

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def repo(self) -> str:
        return f"oci://{self.address}/models"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        said = self.headers.get("Authorization", "")
        self.server.asked.append((self.command, self.path, said))
        if self.server.odd(self):
            return
        kept, address = self.server.kept, urlsplit(self.path)
        name = address.path.removeprefix("/v2/models/")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "POST":
            say(self, 202, {"Location": "/v2/models/blobs/uploads/one"})
        elif self.command == "PUT" and name.startswith("manifests/"):
            kept[name] = body
            say(self, 201, {"Docker-Content-Digest": f"sha256:{hashlib.sha256(body).hexdigest()}"})
        elif self.command == "PUT":
            kept[f"blobs/{parse_qs(address.query)['digest'][0]}"] = body
            say(self, 201, {})
        elif name in kept:
            say(self, 200, {"Content-Type": MANIFEST}, kept[name])
        else:
            say(self, 404, {}, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def say(
    handler: BaseHTTPRequestHandler, status: int, lines: dict[str, str], body: bytes = b""
) -> bool:
    """Answer, as an `Odd` may."""
    handler.send_response(status)
    for name, value in ({"Content-Length": str(len(body))} | lines).items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
    return True


@contextlib.contextmanager
def scripted() -> Iterator[Scripted]:
    """Serve on a free port until the block ends."""
    site = Scripted()
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        thread.join()
        site.server_close()
