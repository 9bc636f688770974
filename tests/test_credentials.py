"""Where credentials come from, and that nothing shows them."""

import base64
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from whisperopt import credentials
from whisperopt.credentials import Credentials
from whisperopt.errors import BadInputError

HOST, PORT = "registry.example", 5000
SECRET = "s3cret:with/odd+signs"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nothing lies yet."""
    for name in [n for n in os.environ if n.startswith("WHISPEROPT_")]:
        monkeypatch.delenv(name)
    for name in ("DOCKER_CONFIG", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def first(host: str = HOST, port: int = PORT) -> Credentials | None:
    return next(credentials.found(host, port), None)


def docker(home: Path, **config: object) -> Path:
    path = home / ".docker" / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(config), "utf-8")
    return path


def coded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def helper(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a program `docker-credential-NAME`."""
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!{sys.executable}\n{script}\n", "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return path


def test_where_nothing_is_known_nothing_is_said() -> None:
    assert first() is None


def test_variables_go_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker(home, auths={f"{HOST}:{PORT}": {"auth": coded("bob", "x")}})
    monkeypatch.setenv("WHISPEROPT_USER", "ann")
    monkeypatch.setenv("WHISPEROPT_PASSWORD", SECRET)
    assert first() == Credentials("WHISPEROPT_USER", "ann", SECRET)
    monkeypatch.setenv("WHISPEROPT_TOKEN", "t0ken")
    assert first() == Credentials("WHISPEROPT_TOKEN", token="t0ken")


@pytest.mark.parametrize(("server", "told"), [(f"{HOST}:{PORT}", True), ("other.example", False)])
def test_variables_can_be_for_one_server_alone(
    monkeypatch: pytest.MonkeyPatch, server: str, told: bool
) -> None:
    monkeypatch.setenv("WHISPEROPT_TOKEN", "t0ken")
    monkeypatch.setenv("WHISPEROPT_SERVER", server)
    assert (first() is not None) == told


@pytest.mark.parametrize("key", [f"{HOST}:{PORT}", f"https://{HOST}:{PORT}/v1/"])
@pytest.mark.parametrize(
    "entry", [{"auth": coded("ann", SECRET)}, {"username": "ann", "password": SECRET}]
)
def test_what_docker_wrote_is_found(home: Path, key: str, entry: dict[str, str]) -> None:
    path = docker(home, auths={"other.example": {"auth": coded("bob", "x")}, key: entry})
    assert first() == Credentials(str(path), "ann", SECRET)
    assert first(HOST, 443) is None
    assert first("elsewhere.example") is None


def test_the_usual_port_needs_no_name(home: Path) -> None:
    docker(home, auths={HOST: {"auth": coded("ann", SECRET)}})
    assert first(HOST, 443)
    assert first(HOST, 5000) is None


def test_dockers_own_hub_has_a_name_of_its_own(home: Path) -> None:
    docker(home, auths={"https://index.docker.io/v1/": {"auth": coded("ann", SECRET)}})
    assert first("registry-1.docker.io", 443)


def test_identity_tokens_are_found(home: Path) -> None:
    path = docker(home, auths={f"{HOST}:{PORT}": {"identitytoken": "r3fresh"}})
    assert first() == Credentials(str(path), refresh="r3fresh")


def test_a_docker_config_lies_where_the_variable_says(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker(home, auths={f"{HOST}:{PORT}": {"auth": coded("ann", SECRET)}}).parent.rename(
        home / "d"
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "d"))
    assert first()


@pytest.mark.skipif(sys.platform == "win32", reason="a helper here is a script with a shebang")
@pytest.mark.parametrize(
    "config", [{"credHelpers": {f"{HOST}:{PORT}": "safe"}}, {"credsStore": "safe"}]
)
def test_dockers_helpers_are_asked_for_this_server(
    home: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, object]
) -> None:
    docker(home, **config)
    script = (
        "import json, sys\n"
        "assert sys.argv[1:] == ['get']\n"
        f"print(json.dumps({{'Username': sys.stdin.read(), 'Secret': {SECRET!r}}}))"
    )
    path = helper(home, "safe", script, monkeypatch)
    assert first() == Credentials(str(path), f"{HOST}:{PORT}", SECRET)


@pytest.mark.skipif(sys.platform == "win32", reason="a helper here is a script with a shebang")
@pytest.mark.parametrize("script", ["raise SystemExit(1)", "print('[]')", "print('\\xff')"])
def test_a_helper_that_fails_knows_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    helper(home, "safe", script, monkeypatch)
    docker(home, credsStore="safe")
    assert first() is None


@pytest.mark.parametrize("name", ["absent", "../../bin/sh", "a b", ""])
def test_only_programs_of_docker_are_helpers(home: Path, name: str) -> None:
    docker(home, credsStore=name)
    assert first() is None


def test_netrc_goes_last_and_its_default_is_for_nobody(home: Path) -> None:
    (home / ".netrc").write_text(
        f"machine {HOST} login ann password {SECRET}\ndefault login bob password x\n", "utf-8"
    )
    assert first() == Credentials(str(home / ".netrc"), "ann", SECRET)
    assert first("elsewhere.example") is None


def test_netrc_lies_where_the_variable_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "mine").write_text(f"machine {HOST} login ann password x", "utf-8")
    monkeypatch.setenv("NETRC", str(home / "mine"))
    assert first()
    monkeypatch.setenv("NETRC", str(home / "absent"))
    assert first() is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".netrc", f"machine {HOST} login ann passwort {SECRET}"),
        (".docker/config.json", f'{{"auths": {{"{HOST}": {{"auth": 7, "x": "{SECRET}"}}}}'),
        (".docker/config.json", f'{{"auths": {{"{HOST}:{PORT}": {{"auth": "{SECRET}"}}}}}}'),
        (".docker/config.json", "[" * 100_000),
    ],
)
def test_what_cannot_be_understood_is_named_and_not_shown(
    home: Path, name: str, text: str
) -> None:
    (home / name).parent.mkdir(exist_ok=True)
    (home / name).write_text(text, "utf-8")
    with pytest.raises(BadInputError) as caught:
        first()
    assert str(home / name) in str(caught.value)
    assert "s3cret" not in f"{caught.value}{caught.value.reason}{caught.value.__cause__}"


def test_credentials_do_not_show_themselves() -> None:
    known = Credentials("netrc", "ann", SECRET, "t0ken", "r3fresh")
    assert repr(known) == "Credentials(source='netrc')"
