"""What a user has for a server: in variables, in docker's file, in netrc. Nothing of it is shown."""

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from whisperopt import documents
from whisperopt.errors import BadInputError
from whisperopt.reasons import because

_HELPER_SECONDS = 30.0
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


def found(host: str, port: int) -> Iterator[Credentials]:
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
        there = path.is_file()
        config = documents.read(path, _Docker, documents.CREDENTIALS) if there else _Docker()
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
    except (ValueError, OSError):  # those of documents are ValueErrors
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
        said = documents.decoded(done.stdout, _Helped, documents.CREDENTIALS)
    except (OSError, subprocess.SubprocessError, documents.UnfitError):
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
    try:
        return Path.home()
    except RuntimeError:  # this user has none
        return Path(os.devnull)


def _host_of(key: str) -> str:
    """Return the host of a key of docker's file, which may be a URL."""
    return key.partition("://")[2 if "://" in key else 0].partition("/")[0].lower()
