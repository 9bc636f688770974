"""Where a release is read from, a folder or a web server; the bytes are not judged here."""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urljoin, urlsplit

from whisperopt.credentials import Login, is_loopback
from whisperopt.errors import BadInputError, IntegrityError, NetworkError
from whisperopt.reasons import Reason, because

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from whisperopt.download.oci import OciSource

Report = Callable[[int, int], None]
"""Is called with the number of bytes of a file that have arrived, and its size."""

_CHUNK = 2**20
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
_PAUSES_SECONDS = (0.5, 1.0, 2.0)
"""Rests before the second, third and fourth try."""
_LONGEST_PAUSE_SECONDS = 60.0
_MAX_REDIRECTS = 5
_TRY_LATER = (429, 503)


Source: TypeAlias = "DirectorySource | HttpSource | OciSource"
"""Somewhere that holds a release; paths are relative to it and use `/`."""


def read(source: Source, path: str, max_bytes: int) -> bytes:
    """Return a small file; a longer one is an `IntegrityError`."""
    data = bytearray()
    with contextlib.closing(source.chunks(path)) as chunks:
        for chunk in chunks:
            data += chunk
            if len(data) > max_bytes:
                reason = because("download.longer", source.where(path), most=max_bytes)
                raise IntegrityError(reason)
    return bytes(data)


def copy(
    source: Source, path: str, destination: Path, *, size: int, report: Report | None = None
) -> str:
    """Write a file of `size` bytes to the new file `destination`; return its sha256 in hex.

    Stops with an `IntegrityError` as soon as more than `size` bytes arrive.
    """
    state = hashlib.sha256()
    written = 0
    with contextlib.closing(source.chunks(path, size)) as chunks, destination.open("xb") as stream:
        for chunk in chunks:
            written += len(chunk)
            if written > size:
                raise IntegrityError(because("download.too-long", source.where(path), size=size))
            state.update(chunk)
            stream.write(chunk)
            if report:
                report(written, size)
        stream.flush()
        os.fsync(stream.fileno())
    return state.hexdigest()


def open_source(repo: str | Path, *, insecure: bool = False) -> Source:
    """Return the source that a path, or a `file://`, `http(s)://` or `oci://` URL names.

    `insecure` allows plain http to hosts other than this one.
    """
    scheme, mark, _ = str(repo).partition("://")
    if not mark:
        return DirectorySource(Path(repo))
    try:
        address = urlsplit(str(repo))
    except ValueError:
        raise BadInputError(because("download.no-address", repo)) from None
    if scheme.lower() == "file" and address.netloc in {"", "localhost"}:
        from urllib.request import url2pathname  # brings ssl along

        return DirectorySource(Path(url2pathname(address.path)))
    if scheme.lower() in {"http", "https"}:
        return HttpSource(str(repo), insecure=insecure)
    if scheme.lower() == "oci":
        from whisperopt.download.oci import OciSource

        return OciSource(str(repo), insecure=insecure)
    raise BadInputError(because("download.no-release", repo))


class DirectorySource:
    """A release on a disk that this machine can read."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def where(self, path: str) -> str:
        """Return the full path."""
        return str(self.root / path)

    def chunks(self, path: str, size: int | None = None) -> Generator[bytes, None, None]:
        """Yield the bytes of a file; a folder that lacks its catalog is no release."""
        file = self.root / path
        try:
            linked = file.parent != self.root and file.parent.is_symlink()  # that leads elsewhere
            if linked or not file.is_file():  # a pipe would be waited for
                if size is None:
                    raise BadInputError(because("download.not-a-release", self.root, file=path))
                raise IntegrityError(because("download.no-file", self.root, file=path))
            with file.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except OSError as error:
            why = f"{error.strerror}"
            raise BadInputError(because("download.unread", file, why=why)) from error


class HttpSource:
    """A release that a web server hands out as plain files; it takes them as one of `accept`."""

    def __init__(self, url: str, *, insecure: bool = False, accept: str = "*/*") -> None:
        address = urlsplit(url)
        if address.query or address.fragment or "@" in address.netloc:
            raise BadInputError(because("download.query", url.rpartition("@")[2]))
        self.root = url.rstrip("/")
        self._insecure = insecure
        if problem := self._distrust(url):
            raise BadInputError(because("download.unsafe", url, why=str(problem)))
        import urllib3

        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False)
        self._login = Login(url)
        self._headers = {"Accept": accept, "Accept-Encoding": "identity"}

    def where(self, path: str) -> str:
        """Return the full URL."""
        return f"{self.root}/{path}"

    def chunks(self, path: str, size: int | None = None) -> Generator[bytes, None, None]:
        """Yield the bytes of a file; that there are less than `size` is a `NetworkError`."""
        from urllib3.exceptions import HTTPError

        url = self.where(path)
        response = self._answer(url)
        arrived = 0
        try:
            for chunk in response.stream(_CHUNK, decode_content=False):
                arrived += len(chunk)
                yield chunk
        except (HTTPError, OSError) as error:
            reason = because("download.broke-off", url, arrived=arrived, why=cause(error))
            raise NetworkError(reason) from error
        finally:
            response.close()
        if arrived < (size or 0):
            raise NetworkError(because("download.ended", url, arrived=arrived, size=size or 0))

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Path | None = None,
    ) -> "BaseHTTPResponse":
        """Ask once, as who the user is; redirects are not followed, and urllib3's errors pass."""
        sent = {**self._headers, **(headers or {})}
        return self._login.request(self._pool, method, url, sent, body)

    def _answer(self, url: str) -> "BaseHTTPResponse":
        """Ask until there is a plain 200; busy servers and lost connections get more tries."""
        from urllib3.exceptions import HTTPError

        for pause in _PAUSES_SECONDS:
            wait = pause
            with contextlib.suppress(HTTPError, OSError):
                response = self._follow(url)
                if response.status not in _TRY_LATER:
                    return _checked(response, url)
                response.close()
                wait = max(pause, _asked_pause(response))
            time.sleep(wait)
        try:
            return _checked(self._follow(url), url)
        except (HTTPError, OSError) as error:
            raise NetworkError(because("download.unreached", url, why=cause(error))) from error

    def _follow(self, url: str) -> "BaseHTTPResponse":
        """Ask once, and go where the server sends us as long as that is safe."""
        here = url
        for _ in range(_MAX_REDIRECTS + 1):
            response = self.ask("GET", here)
            location = response.get_redirect_location()
            if not location:
                return response
            response.close()
            try:
                there = urljoin(here, location)
            except ValueError:
                to = repr(location)
                raise NetworkError(because("download.redirect-nowhere", url, to=to)) from None
            if problem := self._distrust(there, came_from=here):
                to, why = repr(there), str(problem)
                raise NetworkError(because("download.redirect-unsafe", url, to=to, why=why))
            here = there
        raise NetworkError(because("download.redirects", url, most=_MAX_REDIRECTS))

    def _distrust(self, url: str, *, came_from: str = "") -> Reason | None:
        """Return why nothing should be asked of `url`, or None."""
        from urllib3.exceptions import LocationParseError
        from urllib3.util import parse_url

        try:
            address = parse_url(url)  # what connects also judges: parsers differ in odd cases
        except LocationParseError:
            return because("address.none", url)
        if address.scheme not in {"http", "https"} or not address.host:
            return because("address.no-server", url)
        if address.scheme == "https":
            return None
        if came_from.lower().startswith("https:"):
            return because("address.gives-up", url)
        if self._insecure or is_loopback(address.host.strip("[]")):
            return None
        return because("address.plain", url)


def _checked(response: "BaseHTTPResponse", url: str) -> "BaseHTTPResponse":
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if response.status == 200 and encoding == "identity":
        return response
    response.close()
    if response.status == 404:
        raise NetworkError(because("download.404", url))
    if response.status != 200:
        raise NetworkError(because("download.status", url, status=response.status))
    raise NetworkError(because("download.encoding", url, found=repr(encoding)))


def _asked_pause(response: "BaseHTTPResponse") -> float:
    """Return the seconds that the server asks to wait, within reason."""
    asked = re.fullmatch(r"[0-9]{1,6}", response.headers.get("Retry-After", ""))
    return min(float(asked[0]), _LONGEST_PAUSE_SECONDS) if asked else 0.0


def cause(error: Exception) -> str:
    """Return the part of a nested message that says what happened."""
    first = error.args[0] if error.args else None
    return (first if isinstance(first, str) else str(error)).rpartition(": ")[2].rstrip(".")
