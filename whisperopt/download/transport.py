"""Where a release is read from, a folder or a web server; the bytes are not judged here."""

import contextlib
import hashlib
import ipaddress
import os
import re
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol
from urllib.parse import urljoin, urlsplit

from whisperopt.errors import BadInputError, IntegrityError, NetworkError, WhisperoptError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

Report = Callable[[int], None]
"""Is called with the number of bytes of a file that have arrived."""

_CHUNK = 2**20
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
_PAUSES_SECONDS = (0.5, 1.0, 2.0)
"""Rests before the second, third and fourth try."""
_LONGEST_PAUSE_SECONDS = 60.0
_MAX_REDIRECTS = 5
_TRY_LATER = (429, 503)


class Source(Protocol):
    """Somewhere that holds a release; paths are relative to it and use `/`."""

    def where(self, path: str) -> str:
        """Return the full name of a file, for messages."""
        ...

    def read(self, path: str, max_bytes: int) -> bytes:
        """Return a small file; a longer one is an `IntegrityError`."""
        ...

    def copy(
        self, path: str, destination: Path, *, size: int, report: Report | None = None
    ) -> str:
        """Write a file of `size` bytes to the new file `destination`; return its sha256 in hex.

        Stops with an `IntegrityError` as soon as more than `size` bytes arrive.
        """
        ...


def open_source(repo: str | Path, *, insecure: bool = False) -> Source:
    """Return the source that a path, a `file://` URL or an `http(s)://` URL names.

    `insecure` allows plain http to hosts other than this one.
    """
    scheme, mark, _ = str(repo).partition("://")
    if not mark:
        return DirectorySource(Path(repo))
    try:
        address = urlsplit(str(repo))
    except ValueError:
        raise BadInputError(f"{repo} is not an address", "Give a folder or a URL") from None
    if scheme.lower() == "file" and address.netloc in {"", "localhost"}:
        from urllib.request import url2pathname  # brings ssl along

        return DirectorySource(Path(url2pathname(address.path)))
    if scheme.lower() in {"http", "https"}:
        return HttpSource(str(repo), insecure=insecure)
    raise BadInputError(
        f"{repo} names no release", "Give a folder, a file:// URL or an https:// URL"
    )


class DirectorySource:
    """A release on a disk that this machine can read."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def where(self, path: str) -> str:
        """Return the full path."""
        return str(self.root / path)

    def read(self, path: str, max_bytes: int) -> bytes:
        """Return a small file; a folder that lacks it is no release."""
        missing = BadInputError(
            f"{self.root} is not a release: it has no {path}",
            "Give a folder that `whisperopt build` wrote, or its URL",
        )
        return _collect(self._chunks(path, missing), max_bytes, self.where(path))

    def copy(
        self, path: str, destination: Path, *, size: int, report: Report | None = None
    ) -> str:
        """Copy and hash a file; one that is not there is an `IntegrityError`."""
        missing = IntegrityError(
            f"The release {self.root} has no file {path}", "Fetch from another copy of it"
        )
        chunks = self._chunks(path, missing)
        return _pour(chunks, destination, size, self.where(path), report)

    def _chunks(self, path: str, missing: WhisperoptError) -> Generator[bytes, None, None]:
        file = self.root / path
        if file.parent != self.root and file.parent.is_symlink():  # that leads elsewhere
            raise missing
        try:
            with _open(file, missing) as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise BadInputError(f"{file} cannot be read: {error.strerror}") from error


class HttpSource:
    """A release that a web server hands out as plain files."""

    def __init__(self, url: str, *, insecure: bool = False) -> None:
        address = urlsplit(url)
        if address.query or address.fragment or "@" in address.netloc:
            raise BadInputError(
                "The address of a release has no user, query or fragment",
                "Give the URL of the folder that holds catalog.json",
            )
        self.root = url.rstrip("/")
        self._insecure = insecure
        if problem := self._distrust(url):
            raise BadInputError(f"{url} {problem}", "Use https, or allow it with --insecure")
        import urllib3

        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False)

    def where(self, path: str) -> str:
        """Return the full URL."""
        return f"{self.root}/{path}"

    def read(self, path: str, max_bytes: int) -> bytes:
        """Download a small file."""
        return _collect(self._chunks(path), max_bytes, self.where(path))

    def copy(
        self, path: str, destination: Path, *, size: int, report: Report | None = None
    ) -> str:
        """Download and hash a file; one that ends early is a `NetworkError`."""
        chunks = self._chunks(path, least=size)
        return _pour(chunks, destination, size, self.where(path), report)

    def _chunks(self, path: str, least: int = 0) -> Generator[bytes, None, None]:
        from urllib3.exceptions import HTTPError

        url = self.where(path)
        response = self._answer(url)
        arrived = 0
        try:
            for chunk in response.stream(_CHUNK, decode_content=False):
                arrived += len(chunk)
                yield chunk
        except (HTTPError, OSError) as error:
            raise NetworkError(
                f"{url} broke off after {arrived} bytes: {_cause(error)}", "Try again"
            ) from error
        finally:
            response.close()
        if arrived < least:
            raise NetworkError(f"{url} ended after {arrived} of {least} bytes", "Try again later")

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
            raise NetworkError(
                f"{url} cannot be reached: {_cause(error)}", "Check the address and the connection"
            ) from error

    def _follow(self, url: str) -> "BaseHTTPResponse":
        """Ask once, and go where the server sends us as long as that is safe."""
        here = url
        for _ in range(_MAX_REDIRECTS + 1):
            headers = {"Accept-Encoding": "identity"}
            response = self._pool.request(
                "GET", here, headers=headers, preload_content=False, redirect=False
            )
            location = response.get_redirect_location()
            if not location:
                return response
            response.close()
            try:
                there = urljoin(here, location)
            except ValueError:
                raise NetworkError(f"{url} redirects to no address: {location!r}") from None
            if problem := self._distrust(there, came_from=here):
                raise NetworkError(f"{url} redirects to {there!r}, which {problem}")
            here = there
        raise NetworkError(f"{url} redirects more than {_MAX_REDIRECTS} times")

    def _distrust(self, url: str, *, came_from: str = "") -> str | None:
        """Return why nothing should be asked of `url`, or None."""
        from urllib3.exceptions import LocationParseError
        from urllib3.util import parse_url

        try:
            address = parse_url(url)  # what connects also judges: parsers differ in odd cases
        except LocationParseError:
            return "is not an address"
        if address.scheme not in {"http", "https"} or not address.host:
            return "is not the address of a web server"
        if address.scheme == "https":
            return None
        if came_from.lower().startswith("https:"):
            return "gives up encryption"
        if self._insecure or _is_loopback(address.host.strip("[]")):
            return None
        return "is not encrypted"


def _open(file: Path, missing: WhisperoptError) -> BinaryIO:
    if not file.is_file():  # a pipe would be waited for
        raise missing
    return file.open("rb")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(response: "BaseHTTPResponse", url: str) -> "BaseHTTPResponse":
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if response.status == 200 and encoding == "identity":
        return response
    response.close()
    if response.status == 404:
        raise NetworkError(
            f"{url} does not exist (404)", "Give the URL of the folder that holds catalog.json"
        )
    if response.status != 200:
        raise NetworkError(f"{url} answered with status {response.status}", "Try again later")
    raise NetworkError(
        f"{url} arrives with the encoding {encoding!r}, plain bytes were asked for",
        "Switch compression off on the server",
    )


def _asked_pause(response: "BaseHTTPResponse") -> float:
    """Return the seconds that the server asks to wait, within reason."""
    asked = re.fullmatch(r"[0-9]{1,6}", response.headers.get("Retry-After", ""))
    return min(float(asked[0]), _LONGEST_PAUSE_SECONDS) if asked else 0.0


def _cause(error: Exception) -> str:
    """Return the part of a nested message that says what happened."""
    first = error.args[0] if error.args else None
    return (first if isinstance(first, str) else str(error)).rpartition(": ")[2].rstrip(".")


def _collect(chunks: Generator[bytes, None, None], max_bytes: int, name: str) -> bytes:
    data = bytearray()
    with contextlib.closing(chunks):
        for chunk in chunks:
            data += chunk
            if len(data) > max_bytes:
                raise IntegrityError(f"{name} is longer than {max_bytes} bytes")
    return bytes(data)


def _pour(
    chunks: Generator[bytes, None, None],
    destination: Path,
    size: int,
    name: str,
    report: Report | None,
) -> str:
    """Write `chunks` to a new file and hash them on the way; never more than `size` bytes."""
    state = hashlib.sha256()
    written = 0
    with contextlib.closing(chunks), destination.open("xb") as stream:
        for chunk in chunks:
            written += len(chunk)
            if written > size:
                raise IntegrityError(
                    f"{name} is longer than the {size} bytes that the catalog names"
                )
            state.update(chunk)
            stream.write(chunk)
            if report:
                report(written)
        stream.flush()
        os.fsync(stream.fileno())
    return state.hexdigest()
