"""Connections to web servers: proxies and certificates of the environment, an end to slow ones."""

import contextlib
import functools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

from whisperopt.errors import BadInputError
from whisperopt.reasons import Reason, because

_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


class Watch:
    """Ends a connection over which too little comes, or that goes on past its time.

    A timeout of a socket only bounds the wait for the next byte; headers, `100 Continue` and the
    trailers of chunks are read to their end, however slowly or endlessly they come.
    """

    def __init__(self, url: str, *, seconds: float, window: float, rate: float) -> None:
        self.arrived = 0
        self.why: Reason | None = None
        """Why it ended the connection, if it did."""
        self._url, self._seconds, self._window, self._rate = url, seconds, window, rate
        self._socket: socket.socket | None = None
        self._done = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Have an eye on what this thread asks for while the block lasts, and on its answer."""
        token = _watch.set(self)
        try:
            yield
        finally:
            _watch.reset(token)

    def attend(self, connection: HTTPConnection) -> None:
        """Have an eye on this connection from now on."""
        self._socket = connection.sock
        if self.why:
            self._shut()

    def _look(self) -> None:
        ends, seen = time.monotonic() + self._seconds, 0
        while not self._done.wait(max(0.0, min(self._window, ends - time.monotonic()))):
            if time.monotonic() >= ends:
                self.why = because("download.late", self._url, seconds=self._seconds)
            elif self.arrived - seen < self._window * self._rate:
                seconds, rate = self._window, (self.arrived - seen) / self._window
                self.why = because("download.slow", self._url, seconds=seconds, rate=rate)
            if self.why:
                return self._shut()
            seen = self.arrived
        return None

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # whatever is inside of TLS


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


def _attend(connection: HTTPConnection) -> None:
    if watch := _watch.get():
        watch.attend(connection)


class _Plain(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 does
        _attend(self)
        return super().getresponse()


class _Encrypted(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 does
        _attend(self)
        return super().getresponse()


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Encrypted


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for `url`."""
    address, proxies = urlsplit(url), getproxies()
    found = proxies.get(address.scheme.lower()) or proxies.get("all")
    if not found or proxy_bypass(address.netloc.rpartition("@")[2]):
        return None
    return found if "://" in found else f"http://{found}"


def pools(timeout: urllib3.Timeout) -> Callable[[str], urllib3.PoolManager]:
    """Return what gives the pool of connections for a URL, through its proxy if it has one."""

    @functools.cache
    def through(proxy: str | None, *, encrypted: bool) -> urllib3.PoolManager:
        options: dict[str, Any] = {
            "timeout": timeout,
            "retries": False,
            **(_certificates() if encrypted else {}),
        }
        if proxy is None:
            made = urllib3.PoolManager(**options)
        else:
            user = urlsplit(proxy).netloc.rpartition("@")[0]
            headers = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else None
            try:
                made = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
            except (urllib3.exceptions.HTTPError, ValueError):
                shown = proxy.rpartition("@")[2]
                raise BadInputError(because("download.proxy", shown)) from None
        made.pool_classes_by_scheme = {"http": _PlainPool, "https": _EncryptedPool}
        return made

    def pool(url: str) -> urllib3.PoolManager:
        proxy = proxy_of(url)
        encrypted = any(u.lower().startswith("https:") for u in (url, proxy or ""))
        return through(proxy, encrypted=encrypted)

    return pool


def _certificates() -> dict[str, str]:
    """Return whom to trust for TLS in place of what the system does, if the environment says so."""
    for variable in _CERTIFICATES:
        if named := os.environ.get(variable):
            if not Path(named).exists():
                raise BadInputError(because("download.certificates", variable, path=named))
            return {"ca_cert_dir" if Path(named).is_dir() else "ca_certs": named}
    return {}
