"""A release in a folder and on a server, and a cache to fetch it into."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.download.server import Site, serve
from tests.selection import releases
from whisperopt.download import transport


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transport, "_PAUSES_SECONDS", (0.0, 0.0, 0.0))
    return tmp_path / "cache" / "artifacts"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    releases.write_release(folder)
    return folder


@pytest.fixture
def site(release: Path) -> Iterator[Site]:
    with serve(release) as running:
        yield running


@pytest.fixture(params=["folder", "server"])
def repo(request: pytest.FixtureRequest, release: Path, site: Site) -> str:
    return str(release) if request.param == "folder" else site.url
