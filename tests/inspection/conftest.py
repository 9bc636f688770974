"""One release without proof for all that is inspected."""

from pathlib import Path

import pytest

import whisperopt
from tests.makers import write_huggingface
from whisperopt.download import read_folder


@pytest.fixture(scope="package")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspection")
    write_huggingface(folder / "small")
    whisperopt.build(str(folder / "small"), out=folder / "release", proof=False)
    return folder / "release"


@pytest.fixture
def graph(release: Path, tmp_path: Path) -> Path:
    """The decoder of one variant with its weights, to be damaged."""
    for path in read_folder(release / "small--cpu-gqa-fp32").path.glob("decoder.onnx*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / "decoder.onnx"
