"""What whisperopt itself hears, once per model; and the small model of the exporter's tests."""

from collections.abc import Callable

import pytest

from tests.exporter.conftest import wide
from tests.interop import listening

__all__ = ["wide"]

Heard = Callable[..., list[str]]


@pytest.fixture(scope="session")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """Return a function that gives what a sample model's core model writes for each clip."""
    known: dict[tuple[str, str | None], list[str]] = {}

    def listen(name: str, language: str | None = None) -> list[str]:
        if (name, language) not in known:
            folder = tmp_path_factory.mktemp("core")
            known[name, language] = listening.heard(name, folder, language)
        return known[name, language]

    return listen
