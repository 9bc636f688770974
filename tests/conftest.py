"""What many tests start from: one small made-up model, its core model and a session on it.

And how they are shared out among processes: by folder where tests share what is dear to build.
"""

import os
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.makers import SMALL, write_huggingface
from tests.passes import forms
from whisperopt import process, registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.evaluate import race
from whisperopt.graph.core import CoreModel
from whisperopt.host import usable_cores
from whisperopt.results import overlay

DEAR = ("sabotage", "pipeline/validate", "numerics", "interop", "golden")
"""Folders whose tests share what takes seconds to build: one process runs them, and first."""
FUZZ = "WHISPEROPT_FUZZ"
"""The variable that says how many examples a property is tried on: see `ci/soak`."""
_MOST = 8
OWN = frozenset({"cpu", "cuda", "directml", "openvino", "tensorrt", "webgpu"})
UNSEEN = frozenset({"PYTEST_CURRENT_TEST", "WHISPEROPT_CACHE"})
"""Variables that no probe looks at."""

# A busy machine is no fault of what is tested.
settings.register_profile("patient", deadline=None, max_examples=int(os.environ.get(FUZZ, "50")))
settings.load_profile("patient")


class ByFolder(LoadScopeScheduling):
    """Hands out the tests of a file together, and those of a dear folder."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in DEAR if f"tests/{folder}/" in file), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    """Share out what is dear first, so that no process waits for it at the end."""
    config.option.loadscopereorder = False
    return ByFolder(config, log)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use every core, but for a file or two: another process costs more than it saves."""
    files = [one for one in config.args if re.search(r"\.py(::|$)", one)]
    return 0 if files and len(files) == len(config.args) < 3 else min(usable_cores(), _MOST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put dear folders first."""
    items.sort(key=lambda item: not any(f"tests/{one}/" in str(item.path) for one in DEAR))


@pytest.fixture(scope="session", autouse=True)
def _short_races() -> None:
    """Let races of made-up models be over soon: nothing hangs on who of them wins."""
    os.environ.setdefault(race.ROUNDS, "2")


@pytest.fixture(autouse=True)
def _look_again() -> None:
    """Let no test see what another found out about this machine."""
    registry.forget()


@pytest.fixture(autouse=True)
def _own_overlay(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let no test see what another found out: made-up variants have the same digests."""
    place = tmp_path_factory.getbasetemp() / f"overlay-{uuid.uuid4().hex}"
    monkeypatch.setattr(overlay, "default", lambda: place)


@pytest.fixture(scope="session", autouse=True)
def _probed_once() -> Iterator[None]:
    """Probe our own backends once in each environment: another process finds the same there."""
    real, answers = process.ask, {}

    def ask(handler: Any, request: Any, **options: Any) -> Any:
        if handler is not registry.probed or request not in OWN:
            return real(handler, request, **options)
        seen = {k: v for k, v in os.environ.items() if k not in UNSEEN}
        place = (request, *sys.path, *sorted(seen.items()))
        if place not in answers:
            answers[place] = real(handler, request, **options)
        return answers[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "ask", ask)
        yield


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A made-up checkpoint of some 200 000 weights."""
    folder: Path = tmp_path_factory.mktemp("checkpoints") / "small"
    write_huggingface(folder, SMALL)
    return open_checkpoint(folder)


@pytest.fixture
def small_core(small_checkpoint: Checkpoint) -> CoreModel:
    """The core model of the small checkpoint."""
    return CoreModel(small_checkpoint)


@pytest.fixture(scope="session")
def small_artifact(
    small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    """The core model of the small checkpoint, written as it is."""
    return forms.write(small_checkpoint, forms.CORE, tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="session")
def small_session(small_artifact: Artifact) -> Session:
    """The small core model, opened on the CPU."""
    return forms.open_session(small_artifact)
