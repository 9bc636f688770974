"""A real registry for all tests of a process; each test has a repository of its own in it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import registries
from tests.registries import Registry

_COUNT = itertools.count()


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    with registries.started() as running:
        yield running


@pytest.fixture
def repo(registry: Registry) -> str:
    return registry.repo(f"tests/models-{next(_COUNT)}")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing of whoever runs the tests be said to a server."""
    for name in ("TOKEN", "USER", "PASSWORD", "SERVER"):
        monkeypatch.delenv(f"WHISPEROPT_{name}", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
