"""A signed repository in a folder, whose owner has all keys, and a client that reads it."""

import hashlib
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from whisperopt.download.transport import DirectorySource
from whisperopt.errors import WhisperoptError
from whisperopt.reasons import Reason
from whisperopt.repository.store import SIGNED, FolderStore
from whisperopt.trust import client, roots, signing
from whisperopt.trust.client import Trust
from whisperopt.trust.keys import Keys

KEY = "here"
"""The address by which the clients of the tests know the repository."""


def ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


class Shop:
    """What a publisher has: keys, and a repository with the documents `one`, `two` ... in turn."""

    def __init__(self, root: Path, keys: Path) -> None:
        self.store = FolderStore(root)
        self.root = root
        self.keys = Keys(keys)

    def commit(self, files: Mapping[str, bytes]) -> None:
        with self.store.writing():
            self.store.commit(files, after=self.store.read(SIGNED, 10**6))

    def publish(self, document: bytes, *, days_ago: float = 0) -> None:
        with self.store.writing():
            files = signing.sign(self.store, document, self.keys, now=ago(days_ago))
        self.commit(files)

    def renew(self, role: str, *, days_ago: float = 0) -> None:
        self.commit(signing.renew(self.store, self.keys, role, now=ago(days_ago)))

    def file(self, name: str) -> Path:
        return self.root / "metadata" / name

    def blob(self, document: bytes) -> Path:
        return self.root / "blobs" / "sha256" / hashlib.sha256(document).hexdigest()

    def copy(self, to: Path) -> "Shop":
        shutil.copytree(self.root, to)
        return Shop(to, self.keys.folder)

    def key(self, role: str) -> Path:
        """Return the only key of a role."""
        (path,) = self.keys.folder.glob(f"{role}-*.pem")
        return path


class Reader:
    """A client with a memory of its own, which keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[Reason] = []

    def read(self, shop: Shop, root: Path | None = None, *, unsigned: bool = False) -> bytes:
        trust = Trust(root=root, unsigned=unsigned, tell=self.told.append)
        return client.verified(DirectorySource(shop.root), trust, KEY)

    def refused(self, shop: Shop, root: Path | None = None, **asked: Any) -> tuple[int, str]:
        """Return the exit code and the reason's code of a reading that must fail."""
        with pytest.raises(WhisperoptError) as caught:
            self.read(shop, root, **asked)
        assert str(caught.value)
        return caught.value.exit_code, caught.value.reason.code


def edited(path: Path, **changes: Any) -> None:
    """Change the signed part of metadata without signing it again."""
    document = msgspec.json.decode(path.read_bytes())
    document["signed"] |= changes
    path.write_bytes(msgspec.json.encode(document))


def root_of(shop: Shop) -> roots.Chain:
    return roots.read(shop.keys)
