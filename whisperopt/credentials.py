"""Who asks: what a server is told when it wants to know, no other server hears, and nobody logs."""

import base64
import contextlib
import ipaddress
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from whisperopt.errors import BadInputError, NetworkError
from whisperopt.reasons import because

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

_REFUSED = (401, 403)
_MOST_BYTES = 2**20
_HELPER_SECONDS = 30.0
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=:-]{1,16384}")
_PARAMETER = re.compile(r'([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_DOCKER_HUB = {"registry-1.docker.io": "index.docker.io", "docker.io": "index.docker.io"}
"""Where docker keeps what its hub is told."""


@dataclass(frozen=True)
class Credentials:
    """What one server may be told; nothing of it but the `source` is ever shown."""

    source: str
    """The file or variables that it comes from."""
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    """A bearer token, sent as it is."""
    refresh: str = field(default="", repr=False)
    """What a registry's token server gives such tokens for, instead of for a password."""

    @property
    def basic(self) -> str:
        """The header for a server that wants user and password."""
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}" if self.user else ""


class Login:
    """Asks one server, and says who asks if that server wants to know.

    What is said goes over https, or stays on this machine; it goes to the origin of `url` and, for
    a token, to the token server that a registry names, on the same host or in the same domain.
    """

    def __init__(self, url: str) -> None:
        self._origin = _origin(url)
        self._known: Credentials | None = None
        self._header = ""

    def request(
        self,
        pool: "PoolManager",
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Path | None = None,
    ) -> "BaseHTTPResponse":
        """Send one request and follow no redirect; a refusal by this server is a NetworkError.

        What the body does not say of itself, such as its length, `headers` must.
        """
        mine = _origin(url) == self._origin
        response = self._send(pool, method, url, headers, body)
        if not mine or response.status not in _REFUSED:
            return response
        response.close()
        header, self._header = self._header, ""
        if response.status == 401 or not header:
            self._header = self._answer(pool, url, response)
            if self._header:
                response = self._send(pool, method, url, headers, body)
        if response.status in _REFUSED:
            response.close()
            if self._known is None:
                raise NetworkError(because("credentials.none", url, status=response.status))
            source, status = self._known.source, response.status
            reason = because("credentials.refused", url, source=source, status=status)
            raise NetworkError(reason)
        return response

    def _send(
        self,
        pool: "PoolManager",
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Path | None,
    ) -> "BaseHTTPResponse":
        said = {"Authorization": self._header} if self._header else {}
        sent = {**headers, **(said if _origin(url) == self._origin else {})}
        with body.open("rb") if isinstance(body, Path) else contextlib.nullcontext(body) as data:
            return pool.request(
                method, url, body=data, headers=sent, preload_content=False, redirect=False
            )

    def _answer(self, pool: "PoolManager", url: str, response: "BaseHTTPResponse") -> str:
        """Return the header that answers a refusal, or nothing."""
        scheme, host, port = self._origin
        challenge = " ".join(response.headers.getlist("WWW-Authenticate"))[:_MOST_BYTES]
        found = next(_found(host, port), None) if self._known is None else self._known
        if found and not _is_private(scheme, host):
            raise NetworkError(because("credentials.plain", url, source=found.source))
        self._known = found
        if found and found.token:
            return _bearer(found.token, found.source)
        bearer = re.search(r"(?i)\bbearer\s+(.*)", challenge, re.DOTALL)
        asked = {
            name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain
            for name, quoted, plain in _PARAMETER.findall(bearer[1] if bearer else "")
        }
        if "realm" in asked:
            return self._token(pool, url, asked)
        return found.basic if found else ""

    def _token(self, pool: "PoolManager", url: str, asked: Mapping[str, str]) -> str:
        """Get a token where a registry says; the password goes to nobody outside its domain."""
        from urllib3.exceptions import HTTPError

        realm, known = asked["realm"], self._known
        scheme, host, _ = _origin(realm)
        private = _is_private(scheme, host) and (scheme == "https" or is_loopback(self._origin[1]))
        if not private or (known and not _is_kin(host, self._origin[1])):
            raise NetworkError(because("credentials.realm", url, realm=repr(realm)))
        fields = [("service", asked.get("service", ""))]
        fields += [("scope", scope) for scope in asked.get("scope", "").split()]
        method, place, body = "GET", realm, ""
        headers = {"Accept-Encoding": "identity"}
        if known and known.refresh:
            given = [("grant_type", "refresh_token"), ("refresh_token", known.refresh)]
            method, body = "POST", urlencode([*given, ("client_id", "whisperopt"), *fields])
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        else:
            place += f"{'&' if '?' in realm else '?'}{urlencode(fields)}"
            headers |= {"Authorization": known.basic} if known else {}
        try:
            response = pool.request(
                method, place, body=body, headers=headers, preload_content=False, redirect=False
            )
            data = response.read(_MOST_BYTES, decode_content=False)
            response.close()
        except (HTTPError, OSError) as error:
            why = type(error).__name__
            raise NetworkError(because("credentials.no-token", realm, why=why)) from None
        if response.status != 200:
            why = f"status {response.status}"
            raise NetworkError(because("credentials.no-token", realm, why=why))
        try:
            got = msgspec.json.decode(data, type=_Token)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            got = _Token()
        return _bearer(got.token or got.access_token, realm)


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""


class _Auth(msgspec.Struct):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class _Docker(msgspec.Struct):
    auths: dict[str, _Auth] = {}
    credHelpers: dict[str, str] = {}  # noqa: N815  # docker's name
    credsStore: str = ""  # noqa: N815


class _Helped(msgspec.Struct):
    Username: str
    Secret: str


def _found(host: str, port: int) -> Iterator[Credentials]:
    """Yield what is known for a server: from variables, of docker, of netrc."""
    name = f"{host}:{port}"
    names = {name, host} if port in {80, 443} else {name}
    only = os.environ.get("WHISPEROPT_SERVER", "").lower()
    if not only or only in names:
        if token := os.environ.get("WHISPEROPT_TOKEN"):
            yield Credentials("WHISPEROPT_TOKEN", token=token)
        if user := os.environ.get("WHISPEROPT_USER"):
            password = os.environ.get("WHISPEROPT_PASSWORD", "")
            yield Credentials("WHISPEROPT_USER", user, password)
    yield from _of_docker({_DOCKER_HUB.get(n, n) for n in names})
    yield from _of_netrc(host)


def _of_docker(names: set[str]) -> Iterator[Credentials]:
    folder = os.environ.get("DOCKER_CONFIG")
    path = (Path(folder) if folder else _home() / ".docker") / "config.json"
    try:
        data = _contents(path)
        config = msgspec.json.decode(data, type=_Docker) if data else _Docker()
        hosts = {_host_of(key): entry for key, entry in config.auths.items()}
        helpers = {_host_of(key): helper for key, helper in config.credHelpers.items()}
        for name in sorted(names):
            helper = helpers.get(name, config.credsStore)
            if helper and (helped := _helped(helper, name)):
                yield helped
            if (entry := hosts.get(name)) is None:
                continue
            user, _, password = base64.b64decode(entry.auth).decode().partition(":")
            user, password = entry.username or user, entry.password or password
            known = Credentials(
                str(path), user, password, entry.registrytoken, entry.identitytoken
            )
            if known.user or known.token or known.refresh:
                yield known
    except (msgspec.DecodeError, ValueError, RecursionError, OSError):
        raise BadInputError(because("credentials.unread", path)) from None


def _helped(helper: str, name: str) -> Credentials | None:
    """Ask the program `docker-credential-…`; that there is none, or that it fails, is no answer."""
    program = shutil.which(f"docker-credential-{helper}") if _HELPER.fullmatch(helper) else None
    if program is None:
        return None
    server = "https://index.docker.io/v1/" if name == "index.docker.io" else name
    try:
        done = subprocess.run(  # noqa: S603  # docker's own file names it
            [program, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=True,
        )
        said = msgspec.json.decode(done.stdout, type=_Helped)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    if said.Username == "<token>":
        return Credentials(program, refresh=said.Secret)
    return Credentials(program, said.Username, said.Secret)


def _of_netrc(host: str) -> Iterator[Credentials]:
    import netrc

    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [_home() / ".netrc", _home() / "_netrc"]:
        if not path.is_file():
            continue
        try:
            known = netrc.netrc(path).hosts.get(host)
        except (netrc.NetrcParseError, UnicodeDecodeError, OSError):  # it would quote what it read
            raise BadInputError(because("credentials.unread", path)) from None
        if known:
            yield Credentials(str(path), known[0], known[2] or "")


def _home() -> Path:
    return Path("~").expanduser()  # where there is none, it stays as it is


def _contents(path: Path) -> bytes:
    """Return what a small file holds; nothing where there is none."""
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(_MOST_BYTES)


def _host_of(key: str) -> str:
    """Return the host of a key of docker's file, which may be a URL."""
    return key.partition("://")[2 if "://" in key else 0].partition("/")[0].lower()


def _bearer(token: str, source: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise NetworkError(because("credentials.odd-token", source))
    return f"Bearer {token}"


def _origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port; what is no address has no host."""
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        address = parse_url(url)
    except LocationParseError:
        return "", "", 0
    scheme = address.scheme or ""
    port = address.port or {"https": 443, "http": 80}.get(scheme, 0)
    return scheme, (address.host or "").strip("[]").lower(), port


def is_loopback(host: str) -> bool:
    """Say whether `host` is this machine, whatever a name server thinks."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_private(scheme: str, host: str) -> bool:
    return bool(host) and (scheme == "https" or (scheme == "http" and is_loopback(host)))


def _is_kin(host: str, other: str) -> bool:
    """Say whether both are one host, or lie in one domain, as a registry and its token server."""
    domains = {tuple(name.split(".")[-2:]) for name in (host, other)}
    is_named = all(re.search(r"\.[a-z]", name) for name in (host, other))
    return host == other or (is_named and len(domains) == 1)
