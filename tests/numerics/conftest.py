"""The sample models, authored once as fp32 core models and opened on the CPU."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.numerics import speech
from tests.passes import forms
from whisperopt.backend import Session
from whisperopt.checkpoint.checkpoint import Checkpoint


class Sample(NamedTuple):
    """One sample model and our core model of it."""

    checkpoint: Checkpoint
    session: Session


@pytest.fixture(scope="session", params=list(speech.MODELS))
def core(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sample]:
    """Both sample models, one after the other."""
    checkpoint = speech.sample(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    made = forms.write(checkpoint, forms.CORE, folder)
    yield Sample(checkpoint, forms.open_session(made))
    for file in folder.iterdir():
        file.unlink()
