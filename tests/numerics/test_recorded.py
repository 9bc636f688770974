"""The core model computes what was recorded of Hugging Face's Whisper; needs no torch."""

from pathlib import Path

import numpy as np
import pytest

from tests.numerics import recorded, speech
from tests.numerics.conftest import Sample
from tests.numerics.recorded import Reference
from tests.passes import forms

pytestmark = pytest.mark.sample
ROWS = [[0], [1, 0]]


@pytest.fixture
def reference(core: Sample) -> Reference:
    """What is recorded of the model."""
    return recorded.read(core.checkpoint.name)


def files(reference: Reference, rows: list[int]) -> list[Path]:
    """Return the recorded clips `rows`."""
    return [recorded.FOLDER / reference.clips[row].file for row in rows]


def test_recording_is_of_the_installed_weights(core: Sample, reference: Reference) -> None:
    assert reference.checkpoint == core.checkpoint.digest()
    assert reference.prompt == core.checkpoint.decoding.prompt("en")


@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_encoder_and_logits_equal_the_recording(
    rows: list[int], core: Sample, reference: Reference, measured
) -> None:
    clips = [reference.clips[row] for row in rows]
    tokens = np.array([clip.tokens for clip in clips], np.int32)
    given = files(reference, rows)
    ours = forms.decode(core.decoder(given), core.prompts(given), tokens)
    encoder = max(clip.hidden_error(ours.hidden[row]) for row, clip in enumerate(clips))
    steps = [
        step.error(logits[row, -1])
        for row, clip in enumerate(clips)
        for step, logits in zip(clip.steps, ours.logits, strict=True)
    ]
    measured(f"encoder {encoder:.1e}, logits {max(steps):.1e}")
    assert len(steps) == len(rows) * (1 + speech.STEPS)
    assert max(encoder, *steps) < speech.TOLERANCE


@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_free_running_greedy_writes_the_recorded_tokens(
    rows: list[int], core: Sample, reference: Reference
) -> None:
    found = core.greedy(files(reference, rows), speech.STEPS)
    assert found == core.until_end([reference.clips[row].tokens for row in rows])
