"""Products that an input switches between exact and rounded."""

from pathlib import Path

import numpy as np
import pytest

from tests.makers import SMALL
from tests.passes import forms
from whisperopt.graph.core import CoreModel, write
from whisperopt.passes.quantization.calibration import SWITCHES, Switches
from whisperopt.passes.quantization.dynamic import DynamicInt8
from whisperopt.passes.quantization.mixed import Choice
from whisperopt.passes.quantization.weights import products
from whisperopt.passes.rewrite import Pass, PassError, run

HEARD = {"audio_features": forms.speech_like(SMALL, batch=2)}


def hidden(core: CoreModel, folder: Path, steps: list[Pass], **more: forms.Floats) -> forms.Floats:
    """Return what an encoder that was rewritten by `steps` computes."""
    import onnxruntime as ort

    write(run(core.part("encoder"), steps), folder / "encoder.onnx")
    session = ort.InferenceSession(folder / "encoder.onnx", providers=["CPUExecutionProvider"])
    return session.run(["hidden_states"], {**HEARD, **more})[0]


@pytest.mark.parametrize("on", [[], [0], [3, 7], list(range(16))])
def test_what_is_switched_on_is_computed_as_it_ships(
    on: list[int], small_core: CoreModel, tmp_path: Path
) -> None:
    names = [product.name for product in products(small_core.part("encoder"))]
    kept = {name: 1.0 for place, name in enumerate(names) if place not in on}
    ships = DynamicInt8(Choice(floats=kept, error=0.0, all_rounded=1.0))
    switches = np.isin(np.arange(len(names)), on)
    found = hidden(small_core, tmp_path, [Switches()], **{SWITCHES: switches})
    assert forms.relative_error(found, hidden(small_core, tmp_path, [ships])) < 1e-5


def test_a_graph_with_switches_gets_no_second_ones(small_core: CoreModel) -> None:
    model = run(small_core.part("encoder"), [Switches()])
    with pytest.raises(PassError, match="has rounded_products already"):
        run(model, [Switches()])
