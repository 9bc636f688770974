"""A runner for the command line, and a small model and release to use it on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile

import whisperopt
from tests.makers import write_huggingface
from whisperopt.cli import main


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Stdout as JSON."""
        return json.loads(self.stdout)

    @property
    def sentence(self) -> str:
        """The one sentence about what went wrong."""
        (line,) = [one for one in self.stderr.splitlines() if one.startswith("whisperopt: ")]
        return line


Run = Callable[..., Ran]
Refused = Callable[..., str]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `whisperopt` with some arguments in this process."""

    def runner(*arguments: object) -> Ran:
        capfd.readouterr()
        code: Any = 0
        try:
            main.main([str(argument) for argument in arguments], prog_name="whisperopt")
        except SystemExit as end:
            code = end.code
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        return Ran(code or 0, said.out, said.err)

    return runner


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """Return a function that runs a command that must fail, and checks how it does."""

    def runner(code: int, *arguments: object) -> str:
        ran = run(*arguments)
        assert ran.code == code, ran.stderr
        assert ran.stdout == ""
        assert ran.stderr.splitlines()[-1] == ran.sentence
        assert len(ran.sentence) < 600
        return ran.sentence

    return runner


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small made-up checkpoint."""
    folder = tmp_path_factory.mktemp("models") / "small"
    write_huggingface(folder)
    return folder


@pytest.fixture(scope="session")
def release(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the small model for the CPU, without proof."""
    folder = tmp_path_factory.mktemp("cli") / "release"
    whisperopt.build(str(model), target="cpu", out=folder, proof=False)
    return folder


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of noise: more than two windows of the small model."""
    return write_sound(tmp_path_factory.mktemp("audio") / "speech.wav", 1.0)


def write_sound(path: Path, seconds: float, volume: float = 0.1) -> Path:
    """Write noise at 16 kHz."""
    wave = volume * np.random.default_rng(0).standard_normal(round(seconds * 16_000))
    soundfile.write(path, wave.astype(np.float32), 16_000)
    return path
