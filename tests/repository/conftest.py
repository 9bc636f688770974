"""Build folders to publish, a repository, and a cache to fetch into."""

from pathlib import Path

import pytest

from tests.golden.contracts import RELEASES
from tests.release.small import fill
from whisperopt.download import transport
from whisperopt.release import catalog as catalogs
from whisperopt.repository import index as indexes
from whisperopt.repository.index import RepositoryIndex
from whisperopt.trust.client import Trust

UNSIGNED = Trust(unsigned=True)
PROVEN = RELEASES / "0.1.0"
"""A release of the model `mini`: two variants with their raw samples."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transport, "_PAUSES_SECONDS", (0.0, 0.0, 0.0))
    return tmp_path / "cache"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return tmp_path / "repo"


def build(folder: Path, weight: int = 1, model: str = "") -> Path:
    """Write a build folder of one variant without proof, `weight` times as heavy; called `model`."""
    folder.mkdir()
    fill(folder, {"cpu-gqa-fp32": weight})
    if model:
        text = (folder / catalogs.NAME).read_text("utf-8")
        (folder / catalogs.NAME).write_text(text.replace('"tiny.en"', f'"{model}"'), "utf-8")
    return folder


def index_of(repo: Path) -> RepositoryIndex:
    return indexes.parse((repo / indexes.NAME).read_bytes(), "")


def content(repo: Path) -> dict[str, bytes]:
    """Return every file of a repository with its content, but for the lock."""
    files = (path for path in repo.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(repo).as_posix(): path.read_bytes() for path in files}
