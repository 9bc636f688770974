"""One small made-up model, and one build of it with proof."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import whisperopt
from tests.makers import write_huggingface
from tests.pipeline.builds import Built
from tests.pipeline.recordings import write_clips
from whisperopt import matrix

RECIPES = {
    "tensorrt": ("decomposed-fp16", "gqa-fp16"),
    "cuda": ("gqa-fp16",),
    "directml": ("gqa-fp16",),
    "webgpu": ("gqa-fp16",),
    "openvino": ("mha-fp32", "mha-int8"),
    "cpu": ("gqa-fp32", "gqa-int8", "gqa-int8-spans", "mha-fp32"),
}
"""What the one build with proof makes: of every kind a variant, and not every one."""

QUICK = ("cuda", "tensorrt")
"""Rehearsals that builds try where they are installed: the tests of backends try them all."""


@pytest.fixture(scope="package", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep notes on what was proven in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHISPEROPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        if installed := os.environ.get("WHISPEROPT_REHEARSALS"):
            homes = tmp_path_factory.mktemp("rehearsals")
            for name in QUICK:
                (homes / name).symlink_to(Path(installed, name))
            patch.setenv("WHISPEROPT_REHEARSALS", str(homes))
        yield


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    write_huggingface(folder)
    time.sleep(0.2)  # digests of files are kept once their times would tell of a change
    return folder


@pytest.fixture(scope="package")
def proven(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return a build for every target with proof, on a handful of very short clips."""
    shipped = matrix.load()
    targets = tuple(
        msgspec.structs.replace(one, recipes=RECIPES.get(one.name, ())) for one in shipped.targets
    )
    folder = tmp_path_factory.mktemp("proven")
    said: list[tuple[str, str]] = []
    report = whisperopt.build(
        str(model),
        target="all",
        out=folder / "release",
        clips=write_clips(folder / "clips"),
        matrix=msgspec.structs.replace(shipped, targets=targets),
        progress=lambda name, doing: said.append((name, doing)),
    )
    return Built(folder / "release", report, said)
