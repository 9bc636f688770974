"""Builds what the golden tests look at, once, through the command line alone."""

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.golden import models
from tests.golden.contracts import HERE, RELEASES
from whisperopt.cli import main
from whisperopt.evaluate import race


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Stdout as JSON."""
        return json.loads(self.stdout)


Run = Callable[..., Ran]


@pytest.fixture(scope="package")
def run() -> Run:
    """Return a function that runs `whisperopt` with some arguments in this process."""

    def runner(*arguments: object) -> Ran:
        code: Any = 0
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main.main([str(argument) for argument in arguments], prog_name="whisperopt")
            except SystemExit as end:
                code = end.code
        return Ran(code or 0, out.getvalue(), err.getvalue())

    return runner


@pytest.fixture(scope="package", autouse=True)
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is remembered in a folder of its own, and see all of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WHISPEROPT_")]:
            if name != race.ROUNDS and not name.startswith("WHISPEROPT_TESTS_"):
                patch.delenv(name)
        patch.setenv("WHISPEROPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="package")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint whose artifacts are pinned byte for byte."""
    return models.write_small(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="package")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of the committed releases."""
    return models.write_mini(tmp_path_factory.mktemp("models") / "mini")


@pytest.fixture(scope="package")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that hears half a minute."""
    return models.write_wide(tmp_path_factory.mktemp("models") / "wide")


@pytest.fixture(scope="package")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the clips that the committed releases were proven on."""
    return models.write_clips(tmp_path_factory.mktemp("sound") / "clips")


@pytest.fixture(scope="package")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of sound: more than two windows of the made-up models."""
    return models.write_sound(tmp_path_factory.mktemp("sound") / "speech.wav", 1.0)


@pytest.fixture(scope="package")
def structural(run: Run, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the small checkpoint for every target, without proof."""
    folder = tmp_path_factory.mktemp("structural") / "release"
    ran = run("build", small, "--target", "all", "--no-proof", "--out", folder)
    assert ran.code == 0, ran.stderr
    return folder


class Built(NamedTuple):
    """A release, and what the command that built it printed."""

    folder: Path
    ran: Ran


@pytest.fixture(scope="package")
def proven(run: Run, mini: Path, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A release of the mini checkpoint with two variants for the CPU, proven and raced."""
    folder = tmp_path_factory.mktemp("proven") / "release"
    ran = run(
        *("build", mini, "--target", "cpu", "--matrix", HERE / "two.toml"),
        *("--clips", clips, "--version", "1.0", "--out", folder, "--json"),
    )
    assert ran.code == 0, ran.stderr
    return Built(folder, ran)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the release that whisperopt 0.1.0 built."""
    return shutil.copytree(RELEASES / "0.1.0", tmp_path / "release")
