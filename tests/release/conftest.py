"""A small release to write into."""

from pathlib import Path

import pytest

from tests.release.small import OLD, fill


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    fill(folder, OLD)
    return folder
