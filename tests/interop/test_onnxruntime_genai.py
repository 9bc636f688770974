"""Artifacts for targets of ONNX Runtime, opened as they are by the real ONNX Runtime GenAI."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
import soundfile

from tests.interop import listening
from tests.interop.conftest import Heard
from tests.passes import forms
from whisperopt import registry
from whisperopt.release import genai as settings
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import SAMPLE_RATE

genai = pytest.importorskip("onnxruntime_genai", reason="pip install 'whisperopt[dev]'")

pytestmark = pytest.mark.sample

PROMPT = "<|startoftranscript|><|notimestamps|>"
VARIANTS = [
    ("cpu", "gqa-fp32"),
    ("cpu", "gqa-int8"),
    ("cpu", "gqa-int8-spans"),
    ("cpu", "gqa-dynamic-spans"),
    ("cpu", "mha-fp32"),
    ("cuda", "gqa-fp16"),
    ("tensorrt", "decomposed-fp16"),
]


@pytest.mark.parametrize(("backend", "name"), VARIANTS, ids=lambda value: value)
def test_an_artifact_says_the_same_words(
    backend: str, name: str, heard: Heard, tmp_path: Path
) -> None:
    recipes = {recipe.name: recipe for recipe in registry.require(backend).recipes()}
    if name not in recipes:
        pytest.skip(f"{backend} has no recipe {name}")
    artifact = forms.write(listening.checkpoint("tiny.en"), recipes[name], tmp_path)
    # the graphs are the target's, the settings name no device: there may be none here
    settings.write(tmp_path, msgspec.structs.replace(artifact.manifest, backend="cpu"))
    model = genai.Model(str(tmp_path))
    # two clips are one more half minute in every one of seven forms
    assert transcribed(model, listening.samples(listening.CLIPS[0])) == heard("tiny.en")[0]


def transcribed(model: Any, samples: Floats) -> str:
    """Return what GenAI writes for one clip, greedily."""
    recording = io.BytesIO()
    soundfile.write(recording, samples, SAMPLE_RATE, format="WAV")
    processor = model.create_multimodal_processor()
    audios = genai.Audios.open_bytes(recording.getvalue())
    parameters = genai.GeneratorParams(model)
    parameters.set_search_options(do_sample=False, num_beams=1, max_length=448)
    generator = genai.Generator(model, parameters)
    generator.set_inputs(processor([PROMPT], audios=audios))
    while not generator.is_done():
        generator.generate_next_token()
    return str(processor.decode(generator.get_sequence(0))).strip()
