"""What every engine is to the benchmark: a model made from the checkpoint, opened, listening."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.runtime.arrays import Floats

Job = Literal["clips", "many", "long"]
"""One clip after another; many clips given at once; recordings of any length."""
JOBS: tuple[Job, ...] = ("clips", "many", "long")
BATCH = 8
"""How many clips or windows an engine that has batches decodes together."""
LOT = 32
"""How many clips are given at once in the job `many`: some engines sort them by length."""

OURS = "whisperopt "
"""What the names of our rows begin with."""

Listen: TypeAlias = Callable[[Sequence[Floats], str], list[str]]
"""Turns recordings, float32 at 16 kHz, in one language into one text each."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What models are made of, and where they are kept."""

    model: str
    """The checkpoint, as `whisperopt build` takes it."""
    work: str
    """Folder of the models made before, one for each checkpoint."""
    release: str
    optimum_cli: str | None = None
    """The program of optimum-intel, which lives in an environment of its own."""

    def checkpoint(self) -> Checkpoint:
        """Open the checkpoint."""
        from whisperopt.checkpoint.resolve import resolve

        return resolve(self.model)

    def made(self, name: str, write: Callable[[Path], None]) -> Path:
        """Return the folder `name`, filled by `write` unless it was before."""
        folder = Path(self.work) / name
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
            try:
                scratch.chmod(0o755)
                write(scratch)
                scratch.replace(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return folder


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A model on the disk and, in a sentence, how it came to be."""

    folder: str
    how: str


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is opened for."""

    model: str
    """The checkpoint's short name."""
    folder: str
    job: Job
    threads: int


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """An engine ready to listen."""

    listen: Listen
    settings: str
    """The settings that decide speed and words, as they were given."""
    folder: str
    """What had to be on the disk."""


class Engine(Protocol):
    """One row of the tables."""

    @property
    def name(self) -> str:
        """The name of the row."""
        ...

    @property
    def distributions(self) -> tuple[str, ...]:
        """The installed distributions whose versions are shown."""
        ...

    @property
    def jobs(self) -> dict[Job, str]:
        """The jobs that it can do, each with what is called there."""
        ...

    def make(self, source: Source) -> Made:
        """Make the model, or find it made."""
        ...

    def open(self, order: Order) -> Opened:
        """Import the engine and load its model."""
        ...
