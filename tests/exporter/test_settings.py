"""The documents beside the graphs say what the model's own facts say."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.makers import SMALL
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.exporter import settings
from whisperopt.exporter.settings import specials


@pytest.fixture
def documents(small_checkpoint: Checkpoint, tmp_path: Path) -> dict[str, Any]:
    """What is written for the small model, by file name."""
    return written(small_checkpoint, tmp_path)


def written(checkpoint: Checkpoint, folder: Path, **changes: Any) -> dict[str, Any]:
    """Return what is written where some facts are others."""
    decoding = msgspec.structs.replace(checkpoint.decoding, **changes)
    marks = specials(checkpoint.tokenizer_json())
    settings.write(folder, checkpoint.dims, decoding, marks)
    return {path.name: json.loads(path.read_bytes()) for path in folder.iterdir()}


def test_three_documents_are_written(documents: dict[str, Any]) -> None:
    assert set(documents) == {
        *("config.json", "generation_config.json", "preprocessor_config.json"),
    }


def test_sizes_are_the_models(documents: dict[str, Any]) -> None:
    config, features = documents["config.json"], documents["preprocessor_config.json"]
    assert config["max_source_positions"] == SMALL.audio_context
    assert config["max_target_positions"] == SMALL.text_context
    assert config["decoder_attention_heads"] == SMALL.decoder_heads
    assert features["feature_size"] == SMALL.mels
    assert features["nb_max_frames"] == SMALL.frames
    assert features["n_samples"] == SMALL.window


def test_decoding_goes_by_the_models_marks(
    documents: dict[str, Any], small_checkpoint: Checkpoint
) -> None:
    generation, decoding = documents["generation_config.json"], small_checkpoint.decoding
    marks = specials(small_checkpoint.tokenizer_json())
    assert generation["eos_token_id"] == decoding.end_of_text
    assert generation["suppress_tokens"] == decoding.suppress
    assert generation["begin_suppress_tokens"] == decoding.suppress_first
    assert generation["prev_sot_token_id"] == marks["<|startofprev|>"]
    assert generation["is_multilingual"] is True
    assert generation["lang_to_id"] == {
        f"<|{code}|>": token for code, token in decoding.languages.items()
    }
    assert generation["task_to_id"] == {
        "transcribe": marks["<|transcribe|>"],
        "translate": marks["<|translate|>"],
    }


def test_an_english_model_has_no_languages_and_no_tasks(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    documents = written(small_checkpoint, tmp_path, languages={}, transcribe=None)
    generation = documents["generation_config.json"]
    assert generation["is_multilingual"] is False
    assert not {"lang_to_id", "task_to_id"} & set(generation)
