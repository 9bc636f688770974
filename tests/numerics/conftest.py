"""The sample models, authored once as fp32 core models and opened on the CPU."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.numerics import speech
from tests.passes import forms
from whisperopt.backend import Decoder, Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.runtime import greedy
from whisperopt.runtime.arrays import Floats


class Sample:
    """One sample model and our core model of it; clips are encoded once."""

    def __init__(self, checkpoint: Checkpoint, session: Session) -> None:
        """Hold both."""
        self.checkpoint, self.session = checkpoint, session
        self._features: dict[tuple[Path, ...], Floats] = {}
        self._decoders: dict[tuple[Path, ...], Decoder] = {}

    def features(self, clips: Sequence[Path]) -> Floats:
        """Return the features of one batch."""
        key = tuple(clips)
        if key not in self._features:
            self._features[key] = speech.features(self.checkpoint, clips)
        return self._features[key]

    def decoder(self, clips: Sequence[Path]) -> Decoder:
        """Return the decoder of one encoded batch; it may have decoded before."""
        key = tuple(clips)
        if key not in self._decoders:
            self._decoders[key] = self.session.encode(self.features(clips))
        return self._decoders[key]

    def prompts(self, clips: Sequence[Path]) -> np.ndarray:
        """Return the prompt of English transcripts int32 [clips, tokens]."""
        return np.array([self.checkpoint.decoding.prompt("en")] * len(clips), np.int32)

    def greedy(self, clips: Sequence[Path], limit: int) -> list[list[int]]:
        """Return what free-running greedy decoding writes."""
        prompts = self.prompts(clips).tolist()
        return greedy.decode(self.decoder(clips), self.checkpoint.decoding, prompts, limit)

    def until_end(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return what stands before the first end-of-text of each row."""
        end = self.checkpoint.decoding.end_of_text
        return [list(row[: row.index(end)] if end in row else row) for row in rows]


@pytest.fixture(scope="session", params=list(speech.MODELS))
def core(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sample]:
    """Both sample models, one after the other."""
    checkpoint = speech.sample(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    yield Sample(checkpoint, forms.open_session(forms.write(checkpoint, forms.CORE, folder)))
    shutil.rmtree(folder)


LIVE = pytest.mark.parametrize(
    "core", ["tiny.en", pytest.param("base", marks=pytest.mark.soak)], indirect=True
)
"""Beside a reference that runs now; that of the larger model was recorded, too."""


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep relative errors with the test's report, where `--junitxml` shows them."""
    return lambda errors: request.node.user_properties.append(("relative errors", errors))
