"""Private keys: one ed25519 key in one file, so that a team can spread them."""

import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.release.store import disk_errors

PASSPHRASE = "WHISPEROPT_KEYS_PASSPHRASE"  # noqa: S105  # the name of a variable
"""The variable with the passphrase of encrypted keys, for where nobody can be asked."""

_MAX_BYTES = 16_384
_SHORT = 8


def from_environment(path: Path) -> str:
    """Return the passphrase for the key in `path`."""
    if given := os.environ.get(PASSPHRASE):
        return given
    raise BadInputError(because("trust.encrypted", path, variable=PASSPHRASE))


class Keys(msgspec.Struct, frozen=True):
    """A folder with private keys, perhaps not all, and with the roots that name the public ones.

    Roots are `metadata/1.root.json` and so on; a key is `<role>-<first digits of its id>.pem`.
    """

    folder: Path
    ask: Callable[[Path], str] = from_environment
    """Gets the path of an encrypted key and returns its passphrase."""


def short(keyid: str) -> str:
    """Return the digits by which files and people name a key."""
    return keyid[:_SHORT]


def create(folder: Path, role: str, passphrase: str = "") -> CryptoSigner:
    """Make a key, write it for its owner alone, and return it."""
    private = Ed25519PrivateKey.generate()
    signer = CryptoSigner(private)
    lock = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    data = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock)
    path = _path(folder, role, signer.public_key.keyid)
    with disk_errors(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    return signer


def signers(keys: Keys, role: str, keyids: Collection[str]) -> Iterator[CryptoSigner]:
    """Yield those of a role's keys whose private half is in the folder."""
    for keyid in keyids:
        path = _path(keys.folder, role, keyid)
        if path.is_file():
            signer = _read(path, keys.ask)
            if signer.public_key.keyid != keyid:
                raise BadInputError(because("trust.other-key", path))
            yield signer


def is_encrypted(folder: Path) -> bool:
    """Say whether any private key in `folder` has a passphrase."""
    with disk_errors(folder):
        return any(b"ENCRYPTED" in _bytes(path) for path in folder.glob("*.pem"))


def _read(path: Path, ask: Callable[[Path], str]) -> CryptoSigner:
    data = _bytes(path)
    secret = ask(path).encode() if b"ENCRYPTED" in data else None
    try:
        private = serialization.load_pem_private_key(data, secret)
    except (ValueError, TypeError) as error:
        code = "trust.passphrase" if secret is not None else "trust.no-private-key"
        raise BadInputError(because(code, path)) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise BadInputError(because("trust.no-private-key", path))
    return CryptoSigner(private)


def _bytes(path: Path) -> bytes:
    with disk_errors(path), path.open("rb") as file:
        return file.read(_MAX_BYTES)


def _path(folder: Path, role: str, keyid: str) -> Path:
    if not re.fullmatch(r"[0-9a-f]{64}", keyid):  # it becomes a part of a file's name
        raise BadInputError(because("trust.odd-key", folder, role=role))
    return folder / f"{role}-{short(keyid)}.pem"
