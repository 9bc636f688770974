"""What `whisperopt export --to openvino-genai` writes, opened by the real OpenVINO GenAI."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.interop import listening
from tests.interop.conftest import Heard
from tests.passes import forms
from whisperopt import exporter
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.runtime.transcriber import Transcriber

genai = pytest.importorskip("openvino_genai", reason="pip install 'whisperopt[dev]'")


F32 = {"INFERENCE_PRECISION_HINT": "f32"}
"""A processor that knows bfloat16 computes in it unless it is asked."""


def said(pipeline: Any, **settings: Any) -> list[str]:
    """Return what the pipeline writes for each clip."""
    samples = [listening.samples(clip) for clip in listening.CLIPS]
    return [str(pipeline.generate(one, **settings)).strip() for one in samples]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Any], Path]:
    """Return a function that exports a sample model, once for each precision."""

    @cache
    def export(name: str, precision: Any) -> Path:
        listening.checkpoint(name)
        out = tmp_path_factory.mktemp("exported")
        return exporter.export(name, out, precision=precision).path

    return export


@pytest.mark.sample
@pytest.mark.parametrize(
    ("name", "precision", "language"),
    [
        *(("tiny.en", "fp32", None), ("tiny.en", "int8", None)),
        pytest.param("base", "fp32", "en", marks=pytest.mark.soak),
    ],
)
def test_sample_models_say_the_same_words(
    name: str,
    precision: str,
    language: str | None,
    exported: Callable[[str, Any], Path],
    heard: Heard,
) -> None:
    settings = {"language": f"<|{language}|>"} if language else {}
    found = said(genai.WhisperPipeline(exported(name, precision), "CPU", **F32), **settings)
    assert found == heard(name, language)


@pytest.mark.sample
def test_words_have_times(exported: Callable[[str, Any], Path], heard: Heard) -> None:
    pipeline = genai.WhisperPipeline(
        exported("tiny.en", "fp32"), "CPU", word_timestamps=True, **F32
    )
    samples = listening.samples(listening.CLIPS[0])
    words = pipeline.generate(samples, word_timestamps=True).words
    assert "".join(word.word for word in words).strip() == heard("tiny.en")[0]
    starts = [word.start_ts for word in words]
    assert starts == sorted(starts)
    assert words[-1].end_ts == pytest.approx(samples.size / 16_000, abs=1)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory, wide: Path) -> tuple[Any, Transcriber]:
    """The pipeline of a small made-up model, and whisperopt's own transcriber of it."""
    folder = tmp_path_factory.mktemp("made-up")
    pipeline = genai.WhisperPipeline(exporter.export(str(wide), folder / "out").path, "CPU", **F32)
    artifact = forms.write(open_checkpoint(wide), forms.CORE, folder / "core")
    return pipeline, Transcriber(artifact, forms.open_session(artifact))


def test_a_multilingual_model_listens_for_the_language(
    made_up: tuple[Any, Transcriber],
) -> None:
    pipeline, transcriber = made_up
    noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.1
    own = transcriber.transcribe(noise)
    found = pipeline.generate(noise, max_new_tokens=1)
    given = pipeline.generate(noise, max_new_tokens=1, language=f"<|{own.language}|>")
    assert str(found) == str(given)


def test_beams_and_timestamps_are_served(made_up: tuple[Any, Transcriber]) -> None:
    pipeline, _ = made_up
    noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.1
    pipeline.generate(noise, max_new_tokens=4, num_beams=3, language="<|en|>")
    assert pipeline.generate(noise, max_new_tokens=4, return_timestamps=True, language="<|en|>")
