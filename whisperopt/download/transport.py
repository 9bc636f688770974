"""Where a release is read from, a folder or a web server; the bytes are not judged here."""

import contextlib
import hashlib
import random
import re
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

from whisperopt import cache
from whisperopt.download import hub
from whisperopt.download.login import Login, stays_here
from whisperopt.errors import BadInputError, IntegrityError, NetworkError
from whisperopt.reasons import Reason, because

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from whisperopt.download.connection import Watch
    from whisperopt.download.oci import OciSource

Report = Callable[[int, int], None]
"""Is called with the number of bytes of a file that have arrived, and its size."""

_CHUNK = 2**20
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 20.0
_WINDOW_SECONDS = 20.0
"""Over so long a server must keep to the least rate, its headers included."""
_LEAST_RATE = 1024
"""Bytes a second below which nobody waits on."""
_MEAN_RATE = 8192
"""Bytes a second that a whole file takes at most, apart from a start."""
_START_SECONDS = 60.0
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Rests before the second to the sixth try, up to a quarter shorter."""
_FEW = 3
"""More tries for a document: somebody waits for it."""
_SLOW_COUNTS = 3
"""So many failures is one that took long: of a server that holds its clients there are two."""
_LONGEST_PAUSE_SECONDS = 60
_MAX_REDIRECTS = 5
TRY_LATER = (408, 429, 502, 503, 504)
_SIGN_IN = 511
_DOCUMENTS = "documents"

_Result = TypeVar("_Result")

Source: TypeAlias = "DirectorySource | HttpSource | OciSource | OfflineSource"
"""Somewhere that holds a release; paths are relative to it and use `/`."""


class PassingError(NetworkError):
    """What may be over at the next try: a connection that broke, a server that is busy."""

    def __init__(self, reason: Reason, *, pause: float = 0.0, slow: bool = False) -> None:
        super().__init__(reason)
        self.pause = pause
        """Seconds to wait that the server asked for."""
        self.slow = slow


class RangeError(NetworkError):
    """The server does not go on where it was asked to: ask for all of it."""


def read(source: Source, path: str, max_bytes: int) -> bytes:
    """Return a small file; a longer one is an `IntegrityError`.

    What a server said is kept for `OfflineSource`.
    """
    found = insist(
        lambda: read_once(source, path, max_bytes), seconds=most_seconds(max_bytes), tries=_FEW
    )
    if not isinstance(source, DirectorySource | OfflineSource):
        with contextlib.suppress(OSError), cache.new_file(_DOCUMENTS) as file:
            file.write_bytes(found)
            file.replace(_kept(source, path))
    return found


def read_once(source: Source, path: str, max_bytes: int) -> bytes:
    """Return a small file, which is asked for once."""
    data = bytearray()
    with contextlib.closing(source.chunks(path)) as chunks:
        for chunk in chunks:
            data += chunk
            if len(data) > max_bytes:
                reason = because("download.longer", source.where(path), most=max_bytes)
                raise IntegrityError(reason)
    return bytes(data)


def insist(
    attempt: Callable[[], _Result],
    *,
    seconds: float,
    tries: int | None = None,
    arrived: Callable[[], int] = lambda: 0,
) -> _Result:
    """Return what `attempt` does, which is made again after a `PassingError`.

    So long as what has `arrived` grows at the least rate, failures do not count, but no try begins
    after `seconds`.
    """
    pauses = _PAUSES_SECONDS[:tries]
    failures, best, ends = 0, arrived(), time.monotonic() + seconds
    while True:
        started = time.monotonic()
        try:
            return attempt()
        except PassingError as error:
            now, gained = time.monotonic(), arrived() - best
            if gained > _LEAST_RATE * max(now - started, 0.5):
                failures, best = 0, best + gained
            failures += _SLOW_COUNTS if error.slow else 1
            if failures > len(pauses):
                raise
            jittered = pauses[failures - 1] * random.uniform(0.75, 1)  # noqa: S311  # no secret
            pause = max(error.pause, jittered)
            if now + pause > ends:
                raise
        time.sleep(pause)


def most_seconds(size: int) -> float:
    """Return how long `size` bytes may take in all."""
    return _START_SECONDS + size / _MEAN_RATE


def open_source(repo: str | Path, *, insecure: bool = False, offline: bool = False) -> Source:
    """Return the source that a path, or a `file://`, `http(s)://`, `oci://` or `hf://` URL names.

    `insecure` allows plain http to hosts other than this one; `offline` asks no server.
    """
    scheme, mark, _ = str(repo).partition("://")
    if not mark:
        return DirectorySource(Path(repo))
    if scheme == hub.SCHEME:
        repo = hub.web_root(str(repo))
    try:
        address = urlsplit(str(repo))
    except ValueError:
        raise BadInputError(because("download.no-address", repo)) from None
    if scheme.lower() == "file" and address.netloc in {"", "localhost"}:
        from urllib.request import url2pathname  # brings ssl along

        return DirectorySource(Path(url2pathname(address.path)))
    if address.scheme.lower() in {"http", "https", "oci"}:
        from whisperopt.download.oci import OciSource

        kind = OciSource if scheme.lower() == "oci" else HttpSource
        source = kind(str(repo), insecure=insecure)
        return OfflineSource(source) if offline else source
    raise BadInputError(because("download.no-release", repo))


class DirectorySource:
    """A release on a disk that this machine can read."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def where(self, path: str) -> str:
        """Return the full path."""
        return str(self.root / path)

    def chunks(
        self, path: str, size: int | None = None, start: int = 0
    ) -> Generator[bytes, None, None]:
        """Yield the bytes of a file from `start`; a folder that lacks its catalog is no release."""
        file = self.root / path
        try:
            linked = file.parent != self.root and file.parent.is_symlink()  # that leads elsewhere
            if linked or not file.is_file():  # a pipe would be waited for
                if size is None:
                    raise BadInputError(because("download.not-a-release", self.root, file=path))
                raise IntegrityError(because("download.no-file", self.root, file=path))
            with file.open("rb") as stream:
                stream.seek(start)
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except OSError as error:
            why = f"{error.strerror}"
            raise BadInputError(because("download.unread", file, why=why)) from error


class OfflineSource:
    """A release on a server that nobody asks: of documents it has what was heard last."""

    def __init__(self, source: "HttpSource | OciSource") -> None:
        self.root = source.root

    def where(self, path: str) -> str:
        """Return the full URL."""
        return f"{self.root}/{path}"

    def chunks(
        self, path: str, size: int | None = None, start: int = 0
    ) -> Generator[bytes, None, None]:
        """Yield the bytes of a document; everything else is a `NetworkError`."""
        kept = _kept(self, path)
        if size is not None or not kept.is_file():
            raise NetworkError(because("download.offline", self.where(path)))
        yield kept.read_bytes()[start:]


def _kept(source: "HttpSource | OciSource | OfflineSource", path: str) -> Path:
    name = hashlib.sha256(source.where(path).encode()).hexdigest()
    return cache.folder(_DOCUMENTS) / name


class HttpSource:
    """A release that a web server hands out as plain files, of the types that it is to `accept`."""

    def __init__(
        self, url: str, *, insecure: bool = False, accept: str = "*/*", writes: bool = False
    ) -> None:
        address = urlsplit(url)
        if address.query or address.fragment or "@" in address.netloc:
            raise BadInputError(because("download.query", url.rpartition("@")[2]))
        self.root = url.rstrip("/")
        self._insecure = insecure
        if problem := self._distrust(url):
            raise BadInputError(because("download.unsafe", url, why=str(problem)))
        import urllib3

        from whisperopt.download.connection import pools

        pool = pools(urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS))
        self._login = Login(url, pool, writes=writes)
        self._headers = {"Accept": accept, "Accept-Encoding": "identity"}

    def where(self, path: str) -> str:
        """Return the full URL."""
        return f"{self.root}/{path}"

    def chunks(
        self, path: str, size: int | None = None, start: int = 0
    ) -> Generator[bytes, None, None]:
        """Yield the bytes of a file from `start`, as they arrive; it is asked for once.

        What may pass is a `PassingError`, also that there are less than `size` bytes in all; that
        the server does not begin at `start` is a `RangeError`.
        """
        from urllib3.exceptions import HTTPError

        from whisperopt.download.connection import Watch

        url, arrived = self.where(path), start
        seconds = most_seconds(_CHUNK if size is None else size - start)
        with Watch(url, seconds=seconds, window=_WINDOW_SECONDS, rate=_LEAST_RATE) as watch:
            response, answered = self._answer(url, start, watch)
            try:
                while chunk := response.read1(_CHUNK, decode_content=False):
                    if arrived == 0:
                        _check_page(response, chunk, url, answered)
                    arrived += len(chunk)
                    watch.arrived += len(chunk)
                    yield chunk
            except (HTTPError, OSError) as error:
                reason = watch.why or because(
                    "download.broke-off", url, arrived=arrived, why=cause(error)
                )
                raise PassingError(reason, slow=_is_slow(error, watch)) from error
            finally:
                response.close()
            if arrived < (size or 0) or watch.why:
                values = {"arrived": arrived, "size": size or 0}
                reason = watch.why or because("download.ended", url, **values)
                raise PassingError(reason, slow=watch.why is not None)

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Path | None = None,
    ) -> "BaseHTTPResponse":
        """Ask once, as who the user is; no redirect is followed, and urllib3's errors pass."""
        return self._login.request(method, url, {**self._headers, **(headers or {})}, body)

    def _answer(self, url: str, start: int, watch: "Watch") -> tuple["BaseHTTPResponse", str]:
        """Return the answer to a request, if it is the file, and the URL that it is from."""
        from urllib3.exceptions import HTTPError, LocationValueError, SSLError

        try:
            with watch.asking():
                response, answered = self._follow(url, start)
        except (HTTPError, OSError) as error:
            reason = watch.why or because("download.unreached", url, why=cause(error))
            if isinstance(error, SSLError | LocationValueError) and not watch.why:
                raise NetworkError(reason) from error
            raise PassingError(reason, slow=_is_slow(error, watch)) from error
        if refusal := _refusal(response, url, start):
            response.close()
            raise refusal
        return response, answered

    def _follow(self, url: str, start: int) -> tuple["BaseHTTPResponse", str]:
        """Ask once, and go where the server sends us as long as that is safe."""
        here = url
        headers = {"Range": f"bytes={start}-"} if start else {}
        for _ in range(_MAX_REDIRECTS + 1):
            response = self.ask("GET", here, headers)
            location = response.get_redirect_location()
            if not location:
                return response, here
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
        if self._insecure or stays_here(url, address.host):
            return None
        return because("address.plain", url)


def _refusal(response: "BaseHTTPResponse", url: str, start: int) -> NetworkError | None:
    """Return what is wrong with an answer that shall be the file from `start`, if anything."""
    status = response.status
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if status in TRY_LATER:
        reason = because("download.status", url, status=status)
        return PassingError(reason, pause=asked_pause(response))
    if start and status in {200, 206, 416}:
        found = response.headers.get("Content-Range", "")
        if status != 206 or not re.match(rf"bytes {start}-[0-9]+/", found):
            return RangeError(because("download.range", url, start=start, status=status))
    elif status != 200:
        code = {404: "404", _SIGN_IN: "sign-in"}.get(status, "status")
        return NetworkError(because(f"download.{code}", url, status=status, to=url))
    if encoding != "identity":
        return NetworkError(because("download.encoding", url, found=repr(encoding)))
    return None


def _check_page(response: "BaseHTTPResponse", chunk: bytes, url: str, answered: str) -> None:
    """Refuse a web page in place of a file: networks answer so to whom they do not know yet."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml"} and chunk.lstrip()[:1] == b"<":
        raise NetworkError(because("download.sign-in", url, to=answered))


def _is_slow(error: Exception, watch: "Watch") -> bool:
    from urllib3.exceptions import TimeoutError as UrllibTimeoutError

    return watch.why is not None or isinstance(error, UrllibTimeoutError | TimeoutError)


def asked_pause(response: "BaseHTTPResponse") -> float:
    """Return the seconds that the server asks to wait, within reason."""
    from urllib3 import Retry
    from urllib3.exceptions import InvalidHeader

    try:
        return Retry(retry_after_max=_LONGEST_PAUSE_SECONDS).get_retry_after(response) or 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def cause(error: Exception) -> str:
    """Return the part of a nested message that says what happened."""
    first = error.args[0] if error.args else None
    return (first if isinstance(first, str) else str(error)).rpartition(": ")[2].rstrip(".")
