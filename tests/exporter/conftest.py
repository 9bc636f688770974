"""A small made-up model that hears windows of 30 s, as OpenVINO GenAI does."""

from pathlib import Path

import msgspec
import pytest

from tests.makers import SMALL, write_huggingface

WIDE = msgspec.structs.replace(SMALL, mels=80, audio_context=1500, text_context=64)


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a checkpoint of those sizes."""
    folder: Path = tmp_path_factory.mktemp("exporter") / "wide"
    write_huggingface(folder, WIDE)
    return folder
