"""What rounding does to an encoder, measured on packaged audio."""

import errno
from pathlib import Path

import msgspec
import numpy as np
import onnx_ir as ir
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import MadeCheckpoint, form
from whisperopt import cache
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import CoreModel
from whisperopt.passes.quantization import calibration
from whisperopt.passes.quantization.mixed import NOTE

LOUD = "encoder.layers.1.fc2.weight"


class Filed(MadeCheckpoint):
    """A made checkpoint that says that it comes from files."""

    def digest(self) -> str:
        """Return a digest of its weights."""
        return f"sha256:{cache.key(*self.weights.values())}"


def with_an_outlier() -> dict[str, forms.Floats]:
    """Return weights by which one channel in front of `LOUD` dwarfs all others."""
    made = weights(SMALL)
    made["encoder.layers.1.fc1.bias"][3] += 3000
    made[LOUD][:, 3] = 0
    return made


def test_a_channel_that_takes_all_steps_keeps_its_weight_in_single_precision() -> None:
    choice = calibration.chosen(CoreModel(MadeCheckpoint(SMALL, with_an_outlier())))
    assert LOUD in choice.floats
    assert choice.error <= 0.006 < choice.all_rounded


def test_the_graph_holds_what_was_chosen_and_why(tmp_path: Path) -> None:
    checkpoint = MadeCheckpoint(SMALL, with_an_outlier())
    recipe = form(encoder_precision="int8", decoder_precision="int8", int8="dynamic")
    forms.write(checkpoint, recipe, tmp_path)
    model = ir.load(tmp_path / "encoder.onnx")
    choice = calibration.chosen(CoreModel(checkpoint))
    assert model.metadata_props[NOTE] == choice.reason
    left = {node.inputs[1].name for node in model.graph if node.op_type == "MatMul"}
    assert left & {name for name in weights(SMALL) if name.startswith("encoder")} == set(
        choice.floats
    )


def test_a_choice_is_made_once_for_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path))
    core = CoreModel(Filed(SMALL, with_an_outlier()))
    first = calibration.chosen(core)
    monkeypatch.setattr(calibration, "_measured", lambda *_: pytest.fail("measured again"))
    assert calibration.chosen(core) == first


def test_a_full_disk_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(calibration, "write", full)
    core = CoreModel(MadeCheckpoint(SMALL, weights(SMALL)))
    with pytest.raises(WhisperoptError, match="cannot be measured: No space left on device"):
        calibration.chosen(core, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_clips_are_another_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = CoreModel(Filed(SMALL, with_an_outlier()))
    before = calibration._key(core, "1")
    for name in calibration._CLIPS:
        (tmp_path / name).write_bytes(b"something else")
    monkeypatch.setattr(calibration, "_PACKAGE", tmp_path)
    assert calibration._key(core, "1") != before


def test_larger_models_hear_fewer_clips() -> None:
    sizes = [calibration.features(SMALL, weights).shape[0] for weights in (1, 8 * 10**8, 10**10)]
    assert sizes == [3, 1, 1]


@pytest.mark.parametrize("frames", [40, 3000])
def test_features_fit_the_model(frames: int) -> None:
    dims = msgspec.structs.replace(SMALL, audio_context=frames // 2)
    found = calibration.features(dims, 10**6)
    assert found.dtype == np.float32
    assert found.shape == (3, SMALL.mels, min(400, frames))
