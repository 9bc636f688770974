"""Keys and a signed repository with one document; a cache of the test's own."""

import shutil
from pathlib import Path

import pytest

from tests.trust.rig import Reader, Shop
from whisperopt.download import transport
from whisperopt.trust import roots


@pytest.fixture(scope="session")
def made_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trust") / "keys"
    roots.init(folder)
    return folder


@pytest.fixture
def keys(made_keys: Path, tmp_path: Path) -> Path:
    shutil.copytree(made_keys, tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transport, "_PAUSES_SECONDS", (0.0,))
    return tmp_path / "cache"


@pytest.fixture
def shop(tmp_path: Path, keys: Path) -> Shop:
    """A repository with the document `one`."""
    made = Shop(tmp_path / "repo", keys)
    made.publish(b"one")
    return made


@pytest.fixture
def reader() -> Reader:
    return Reader()
