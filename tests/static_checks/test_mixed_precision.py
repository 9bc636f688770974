"""Variants whose encoder keeps some products in single precision beside those it rounds."""

from pathlib import Path

import numpy as np
import pytest

from tests.makers import SMALL
from tests.passes import forms
from tests.passes.forms import MadeCheckpoint, form
from tests.passes.quantization.test_calibration import LOUD, with_an_outlier
from tests.sabotage import disk
from whisperopt import matrix
from whisperopt.graph.core import CoreModel
from whisperopt.static_checks import equivalence
from whisperopt.static_checks.weights import WeightCheck, check

RECIPE = form(encoder_precision="int8", decoder_precision="int8", int8="dynamic")
CORE = CoreModel(MadeCheckpoint(SMALL, with_an_outlier()))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Write a variant that keeps `LOUD`."""
    folder = forms.write(CORE.checkpoint, RECIPE, tmp_path / "mixed").path
    assert disk.has(folder, LOUD)
    assert disk.has(folder, "encoder.layers.0.fc2.weight_int8")
    return folder


def judged(folder: Path) -> WeightCheck:
    """Hold the variant against its checkpoint."""
    return check(CORE, folder, RECIPE, matrix.load().target("cpu").gates_for(RECIPE.precisions))


def test_honest_variants_pass_and_everything_is_compared(mixed: Path, tmp_path: Path) -> None:
    found = judged(mixed)
    assert found.reasons == ()
    assert found.compared == found.of
    assert equivalence.check(CORE, mixed, RECIPE, tmp_path) == equivalence.Equivalence()


@pytest.mark.parametrize("factor", [1.001, 0.99])
def test_what_stays_in_single_precision_must_be_as_exact_as_that(
    mixed: Path, factor: float
) -> None:
    disk.alter(mixed, LOUD, lambda array: array * np.float32(factor))
    (reason,) = judged(mixed).reasons
    assert LOUD in reason.place


def test_what_is_rounded_beside_it_is_held_to_the_gates(mixed: Path) -> None:
    disk.alter(mixed, "encoder.layers.0.fc2.weight_scales", lambda array: array * np.float32(1.02))
    (reason,) = judged(mixed).reasons
    assert "encoder.layers.0.fc2.weight" in reason.place
