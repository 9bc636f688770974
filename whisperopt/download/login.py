"""Asks a server, and says who asks if it wants to know: what is said there, no other one hears."""

import contextlib
import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import msgspec

from whisperopt import credentials, documents
from whisperopt.credentials import Credentials
from whisperopt.errors import NetworkError
from whisperopt.reasons import because, quoted

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

_REFUSED = (401, 403)
_MOST_BYTES = 2**18
_LONGEST = 4096
"""Characters of a challenge: what looks for parts of it takes their square."""
_TOKEN = re.compile(r"[!-~]{1,65536}")
_PARAMETER = re.compile(r'([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', re.IGNORECASE)


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""


class Login:
    """What the server of `url` is told, over https or on this machine alone.

    A registry may name a token server, which is told the same if it is on the same host or in the
    same domain. `pool` gives the connections for a URL; who `writes` asks for tokens that do.
    """

    def __init__(
        self, url: str, pool: Callable[[str], "PoolManager"], *, writes: bool = False
    ) -> None:
        self._pool, self._origin, self._writes = pool, _origin(url), writes
        self._known: Credentials | None = None
        self._header = ""

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Path | None = None
    ) -> "BaseHTTPResponse":
        """Ask once, and follow no redirect; that this server lets us not in is a NetworkError."""
        response = self._send(method, url, headers, body)
        if _origin(url) != self._origin or response.status not in _REFUSED:
            return response
        response.close()
        told, self._header = bool(self._header), ""
        if response.status == 401 or not told:
            self._header = self._answer(url, response)
            if self._header:
                response = self._send(method, url, headers, body)
        status, known = response.status, self._known
        if known and status in _REFUSED:
            response.close()
            reason = because("credentials.refused", url, source=known.source, status=status)
            raise NetworkError(reason)
        if status == 401:
            response.close()
            raise NetworkError(because("credentials.none", url))
        return response

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Path | None
    ) -> "BaseHTTPResponse":
        mine = self._header and _origin(url) == self._origin
        sent = {**headers, **({"Authorization": self._header} if mine else {})}
        with body.open("rb") if isinstance(body, Path) else contextlib.nullcontext(body) as data:
            return self._pool(url).request(
                method, url, body=data, headers=sent, preload_content=False, redirect=False
            )

    def _answer(self, url: str, response: "BaseHTTPResponse") -> str:
        """Return the header that answers a refusal, or nothing."""
        _, host, port = self._origin
        self._known = known = self._known or next(credentials.found(host, port), None)
        if known and not _is_private(url):
            raise NetworkError(because("credentials.plain", url, source=known.source))
        if known and known.token:
            return _bearer(known.token, known.source)
        asked = bearer_parameters(" ".join(response.headers.getlist("WWW-Authenticate")))
        if "realm" in asked:
            return self._token(url, asked)
        return known.basic if known else ""

    def _token(self, url: str, asked: Mapping[str, str]) -> str:
        """Get a token where a registry says."""
        realm, known = asked["realm"], self._known
        (scheme, host, _), (own_scheme, own, _) = _origin(realm), self._origin
        safe = _is_private(realm) and (scheme == "https" or own_scheme == "http")
        if not safe or (known and not _are_kin(host, own)) or is_loopback(host) > is_loopback(own):
            raise NetworkError(because("credentials.realm", url, realm=quoted(realm)))
        fields = [("service", asked["service"])] if "service" in asked else []
        for scope in asked.get("scope", "").split():
            pushes = self._writes and scope.endswith(":pull")  # or there is no way to a new name
            fields.append(("scope", f"{scope},push" if pushes else scope))
        headers, body = {"Accept-Encoding": "identity"}, None
        if known and known.refresh:
            fields += [("grant_type", "refresh_token"), ("refresh_token", known.refresh)]
            body = urlencode([*fields, ("client_id", "whisperopt")])
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif known:
            headers["Authorization"] = known.basic
        response = self._pool(realm).request(
            "POST" if body else "GET",
            realm if body else f"{realm}{'&' if '?' in realm else '?'}{urlencode(fields)}",
            body=body,
            headers=headers,
            preload_content=False,
            redirect=False,
        )
        data = response.read(_MOST_BYTES, decode_content=False)
        response.close()
        if response.status != 200:
            raise NetworkError(because("credentials.no-token", realm, status=response.status))
        try:
            got = documents.decoded(data, _Token, documents.CREDENTIALS)
        except documents.UnfitError:
            got = _Token()
        return _bearer(got.token or got.access_token, realm)


def bearer_parameters(challenge: str) -> dict[str, str]:
    """Return what a server says of the token that it wants; nothing if it wants none."""
    bearer = re.search(r"\bbearer\s+(.*)", challenge[:_LONGEST], re.IGNORECASE | re.DOTALL)
    return {
        name.lower(): re.sub(r"\\(.)", r"\1", text) or plain
        for name, text, plain in _PARAMETER.findall(bearer[1] if bearer else "")
    }


def is_loopback(host: str) -> bool:
    """Say whether `host` is this machine, whatever a name server thinks."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def stays_here(url: str, host: str) -> bool:
    """Say whether what is sent to `url` never leaves this machine."""
    from whisperopt.download.connection import proxy_of

    try:
        proxy = proxy_of(url)
        return is_loopback(host) and (not proxy or is_loopback(urlsplit(proxy).hostname or ""))
    except ValueError:  # parsers differ in odd cases
        return False


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


def _is_private(url: str) -> bool:
    scheme, host, _ = _origin(url)
    return bool(host) and (scheme == "https" or (scheme == "http" and stays_here(url, host)))


def _are_kin(host: str, other: str) -> bool:
    """Say whether both are one host, or lie in one domain, as a registry and its token server."""
    domains = {tuple(name.split(".")[-2:]) for name in (host, other)}
    is_named = all(re.search(r"\.[a-z]", name) for name in (host, other))
    return host == other or (is_named and len(domains) == 1)


def _bearer(token: str, source: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise NetworkError(because("credentials.odd-token", source))
    return f"Bearer {token}"
