"""What many tests start from: one small made-up model, its core model and a session on it."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.makers import SMALL, write_huggingface
from tests.passes import forms
from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.graph.core import CoreModel

# A busy machine is no fault of what is tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _look_again() -> None:
    """Let no test see what another found out about this machine."""
    registry.forget()


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
