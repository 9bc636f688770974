"""One small release for all tests of validation, and a copy of it for each."""

from pathlib import Path

import pytest

from tests.pipeline.validate import shop
from tests.pipeline.validate.shop import Shop
from whisperopt.evaluate.case import ProofContext
from whisperopt.pipeline import race


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep notes on what was proven apart from those of other tests."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("WHISPEROPT_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A release that nobody may touch, in which the smaller variant is much slower."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHISPEROPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(race, "timed", shop.instant({shop.MIXED: 2.0}))
        return shop.build(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def workshop(built: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A copy of the release; only races are over at once, and end like the first."""
    monkeypatch.setattr(race, "timed", shop.instant({shop.MIXED: 2.0}))
    return built.copy(tmp_path / "release")


@pytest.fixture
def shop_(built: Shop, workshop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A copy of the release; proofs take no time, and find what the build found."""
    monkeypatch.setattr(ProofContext, "prove", shop.remembered(built))
    return workshop
