"""Who asks is told to the server that wants to know, and to no other."""

import base64
import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests import registries
from tests.registries import PASSWORD, USER, Registry
from tests.repository.oci.published import publish, release, versions
from tests.repository.oci.scripted import Odd, Scripted, say, scripted
from whisperopt.download import transport
from whisperopt.download.login import Login, _are_kin
from whisperopt.download.oci import OciSource
from whisperopt.download.transport import HttpSource
from whisperopt.errors import NetworkError
from whisperopt.repository.oci import OciStore

DATA = b"weights"
SHA256 = hashlib.sha256(DATA).hexdigest()
BASIC = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    file = tmp_path_factory.mktemp("guarded") / "htpasswd"
    file.write_text(registries.HTPASSWD, "utf-8")
    with registries.started(str(file)) as running:
        yield running


@pytest.fixture
def site() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


@pytest.fixture
def other() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


@pytest.fixture
def ann(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPEROPT_USER", USER)
    monkeypatch.setenv("WHISPEROPT_PASSWORD", PASSWORD)


def code_of(repo: str) -> str:
    with pytest.raises(NetworkError) as caught:
        OciStore(repo).has("0" * 64)
    assert PASSWORD not in f"{caught.value}{caught.value.reason!r}"
    return caught.value.reason.code


def test_a_real_registry_lets_in_who_may(
    guarded: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = guarded.repo("private/models")
    assert code_of(repo) == "credentials.none"
    monkeypatch.setenv("WHISPEROPT_USER", USER)
    assert code_of(repo) == "credentials.refused"
    monkeypatch.delenv("WHISPEROPT_USER")
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}", "utf-8")
    folder = tmp_path / "release"
    publish(OciStore(repo), folder, release(folder), "1.0.0")
    (tmp_path / "netrc").unlink()
    coded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    config = {"auths": {guarded.address: {"auth": coded}}}
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(json.dumps(config), "utf-8")
    assert versions(repo) == ["1.0.0"]


def tokens(realm: str, **said: str) -> Odd:
    """Want a token from `realm`, for the scope of each request, and give it there."""

    def answer(handler: BaseHTTPRequestHandler) -> bool:
        address = urlsplit(handler.path)
        told = handler.headers.get("Authorization", "")
        if address.path == "/token":
            scope = "+".join(parse_qs(address.query)["scope"])
            return say(handler, 200, {}, json.dumps(said or {"token": f"for/{scope}"}).encode())
        scope = "repository:models:pull" + (",push" if handler.command in {"POST", "PUT"} else "")
        if told.startswith(f"Bearer for/{scope}"):
            return False
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        challenge = f'Bearer realm="{realm}",service="models",scope="{scope}"'
        return say(handler, 401, {"WWW-Authenticate": challenge})

    return answer


@pytest.mark.usefixtures("ann")
def test_a_token_is_asked_for_what_is_done(site: Scripted) -> None:
    site.odd = tokens(f"http://{site.address}/token")
    with pytest.raises(NetworkError):
        transport.read(OciSource(site.repo), "repository.json", 10)
    OciStore(site.repo).put(SHA256, DATA)
    asked = [(path, said) for _, path, said in site.asked if path.startswith("/token")]
    scopes = [parse_qs(urlsplit(path).query)["scope"] for path, _ in asked]
    assert scopes == [["repository:models:pull"], ["repository:models:pull,push"]]
    assert {said for _, said in asked} == {BASIC}
    assert {said for _, path, said in site.asked if "/v2/" in path} >= {""}
    assert BASIC not in {said for _, path, said in site.asked if "/v2/" in path}


def test_nobody_gets_a_token_as_well(site: Scripted) -> None:
    site.odd = tokens(f"http://{site.address}/token")
    assert not OciStore(site.repo).has(SHA256)
    assert {said for _, path, said in site.asked if path.startswith("/token")} == {""}


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize(
    "realm",
    [
        "http://localhost:{port}/token",
        "http://evil.example/token",
        "https://evil.example/token",
        "ftp://127.0.0.1/token",
        "file:///etc/passwd",
        "http://[",
        "",
    ],
)
def test_no_other_server_is_told_for_a_token(site: Scripted, other: Scripted, realm: str) -> None:
    site.odd = tokens(realm.format(port=other.server_port))
    assert code_of(site.repo) == "credentials.realm"
    assert not other.asked


@pytest.mark.parametrize(
    "said",
    [
        {"token": ""},
        {"token": "two\r\nHost: lines"},
        {"token": "x" * 100_000},
        {"access": "none"},
        {"token": "\u00e9"},
    ],
)
def test_a_token_that_cannot_be_one_is_refused(site: Scripted, said: dict[str, str]) -> None:
    site.odd = tokens(f"http://{site.address}/token", **said)
    assert code_of(site.repo) == "credentials.odd-token"


def test_a_token_that_does_not_help_is_asked_for_once(site: Scripted) -> None:
    site.odd = tokens(f"http://{site.address}/token", token="useless")
    assert code_of(site.repo) == "credentials.none"
    assert len(site.asked) == 3


def test_a_token_of_ones_own_is_sent_as_it_is(
    site: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_TOKEN", "for/repository:models:pull,push")
    site.odd = tokens("http://evil.example/token")
    OciStore(site.repo).put(SHA256, DATA)
    assert site.kept


def test_who_publishes_asks_at_once_for_a_token_that_writes(site: Scripted) -> None:
    site.odd = tokens(f"http://{site.address}/token")
    store = OciStore(site.repo)
    assert not store.has(SHA256)
    store.put(SHA256, DATA)
    assert sum(path.startswith("/token") for _, path, _ in site.asked) == 1


def test_an_identity_token_is_exchanged(site: Scripted, tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    config = {"auths": {site.address: {"identitytoken": "r3fresh"}}}
    (tmp_path / "docker" / "config.json").write_text(json.dumps(config), "utf-8")
    sent: list[bytes] = []
    rest = tokens(f"http://{site.address}/token")

    def answer(handler: BaseHTTPRequestHandler) -> bool:
        if handler.command != "POST":
            return rest(handler)
        sent.append(handler.rfile.read(int(handler.headers["Content-Length"])))
        return say(handler, 200, {}, b'{"access_token": "for/repository:models:pull"}')

    site.odd = answer
    assert not OciStore(site.repo).has(SHA256)
    assert parse_qs(sent[0].decode())["refresh_token"] == ["r3fresh"]


def wants(header: str) -> Odd:
    """Let nobody in without this header."""

    def answer(handler: BaseHTTPRequestHandler) -> bool:
        if handler.headers.get("Authorization") == header:
            return False
        return say(handler, 401, {"WWW-Authenticate": 'Basic realm="x"'})

    return answer


@pytest.mark.usefixtures("ann")
def test_a_plain_web_server_is_told_as_well(site: Scripted) -> None:
    site.kept["/catalog.json"] = DATA
    site.odd = wants(BASIC)
    source = HttpSource(f"http://{site.address}")
    assert transport.read(source, "catalog.json", 10) == DATA
    assert [said for _, _, said in site.asked] == ["", BASIC]


@pytest.mark.usefixtures("ann")
def test_who_is_redirected_says_nothing_there(site: Scripted, other: Scripted) -> None:
    def away(handler: BaseHTTPRequestHandler) -> bool:
        location = f"http://{other.address}/catalog.json"
        return wants(BASIC)(handler) or say(handler, 307, {"Location": location})

    site.odd = away
    other.odd = wants(BASIC)
    source = HttpSource(f"http://{site.address}")
    with pytest.raises(NetworkError, match="401"):
        transport.read(source, "catalog.json", 10)
    assert {said for _, _, said in other.asked} == {""}


@pytest.mark.usefixtures("ann")
def test_nothing_is_said_through_a_proxy_elsewhere_or_in_the_clear(
    site: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.odd = wants(BASIC)
    monkeypatch.setenv("http_proxy", f"http://{site.address}")  # stands in for the other server
    store = OciStore("oci://registry.example/models", insecure=True)
    with pytest.raises(NetworkError) as caught:
        store.has(SHA256)
    assert caught.value.reason.code == "credentials.plain"
    assert {said for _, _, said in site.asked} == {""}


def test_a_server_that_refuses_everybody_is_asked_once(site: Scripted) -> None:
    site.odd = lambda handler: say(handler, 403, {})
    pools = HttpSource(f"http://{site.address}")._login._pool
    login = Login(f"http://{site.address}", pools)
    assert login.request("GET", f"http://{site.address}/x", {}).status == 403
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("host", "other", "kin"),
    [
        ("auth.docker.io", "registry-1.docker.io", True),
        ("gitlab.com", "registry.gitlab.com", True),
        ("ghcr.io", "ghcr.io", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "10.0.0.1", False),
        ("1.0.0.1", "2.0.0.1", False),
        ("evil.example", "registry.example.org", False),
        ("localhost", "registry", False),
    ],
)
def test_a_token_server_lies_in_the_registrys_domain(host: str, other: str, kin: bool) -> None:
    assert _are_kin(host, other) == kin
