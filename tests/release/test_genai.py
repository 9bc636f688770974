"""The files beside the graphs that ONNX Runtime GenAI reads."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.makers import SMALL
from whisperopt.artifact import Artifact, Manifest
from whisperopt.release import genai


def written(folder: Path, manifest: Manifest, **changes: Any) -> dict[str, Any]:
    """Return what is written for `manifest`, by file name."""
    genai.write(folder, msgspec.structs.replace(manifest, **changes))
    return {path.name: json.loads(path.read_bytes()) for path in folder.iterdir()}


@pytest.fixture
def manifest(small_artifact: Artifact) -> Manifest:
    return small_artifact.manifest


def test_three_files_are_written(tmp_path: Path, manifest: Manifest) -> None:
    assert set(written(tmp_path, manifest)) == {
        "genai_config.json",
        "audio_processor_config.json",
        "tokenizer_config.json",
    }


def test_sizes_and_marks_are_the_models(tmp_path: Path, manifest: Manifest) -> None:
    model = written(tmp_path, manifest)["genai_config.json"]["model"]
    assert model["type"] == "whisper"
    assert model["vocab_size"] == SMALL.vocabulary
    assert model["context_length"] == SMALL.text_context
    assert model["eos_token_id"] == model["pad_token_id"] == 256
    for part, layers in (("encoder", SMALL.encoder_layers), ("decoder", SMALL.decoder_layers)):
        assert model[part]["num_hidden_layers"] == layers
        assert model[part]["head_size"] == SMALL.head_size
        assert model[part]["hidden_size"] == SMALL.width
        assert model[part]["filename"] == f"{part}.onnx"


def test_names_are_those_of_the_graphs(tmp_path: Path, small_artifact: Artifact) -> None:
    import onnx_ir as ir

    model = written(tmp_path, small_artifact.manifest)["genai_config.json"]["model"]
    graphs = {p: ir.load(small_artifact.graph(p)).graph for p in ("encoder", "decoder")}
    for part, layers in (("encoder", SMALL.decoder_layers), ("decoder", SMALL.decoder_layers)):
        for side in ("inputs", "outputs"):
            known = {value.name for value in getattr(graphs[part], side)}
            for name in model[part][side].values():
                wanted = {name % i for i in range(layers)} if "%d" in name else {name}
                assert wanted <= known


def test_a_shared_buffer_is_announced(tmp_path: Path, manifest: Manifest) -> None:
    config = written(tmp_path, manifest)["genai_config.json"]
    assert config["search"]["past_present_share_buffer"] is True
    assert "past_sequence_length" in config["model"]["decoder"]["inputs"]


def test_a_growing_cache_needs_no_length(tmp_path: Path, manifest: Manifest) -> None:
    recipe = msgspec.structs.replace(manifest.recipe, self_attention="mha", cache="concat")
    config = written(tmp_path, manifest, recipe=recipe)["genai_config.json"]
    assert config["search"]["past_present_share_buffer"] is False
    assert "past_sequence_length" not in config["model"]["decoder"]["inputs"]


@pytest.mark.parametrize(
    ("backend", "provider"),
    [
        ("cpu", []),
        ("cuda", [{"cuda": {}}]),
        ("directml", [{"dml": {}}]),
        ("tensorrt", [{"NvTensorRtRtx": {}}]),
        ("webgpu", [{"WebGPU": {}}]),
    ],
)
def test_the_provider_goes_by_genais_name(
    tmp_path: Path, manifest: Manifest, backend: str, provider: list[object]
) -> None:
    model = written(tmp_path, manifest, backend=backend)["genai_config.json"]["model"]
    for part in ("encoder", "decoder"):
        assert model[part]["session_options"]["provider_options"] == provider


def test_features_are_whispers(tmp_path: Path, manifest: Manifest) -> None:
    content = written(tmp_path, manifest)["audio_processor_config.json"]
    steps = [step["operation"] for step in content["feature_extraction"]["sequence"]]
    assert [step["name"] for step in steps] == ["audio_decoder", "STFT", "log_mel_spectrogram"]
    assert steps[2]["attrs"]["n_mel"] == SMALL.mels
    assert steps[1]["attrs"]["hop_length"] == 160
