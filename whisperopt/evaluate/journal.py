"""Keeps what a proof has found so far, so that one that is killed goes on where it stopped."""

import contextlib
import os
import tempfile
from pathlib import Path

import msgspec

from whisperopt import __version__, cache, documents, process
from whisperopt.evaluate.evidence import Sample


class ResumeLog:
    """One line for each clip that was finished; a line that was cut off counts for nothing."""

    def __init__(self, folder: Path) -> None:
        """Go on in `folder`, which need not be there."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "samples.jsonl"

    def samples(self) -> list[Sample]:
        """Return what was found before."""
        found, lines = [], []
        with contextlib.suppress(FileNotFoundError):
            lines = documents.content(self._path, documents.NOTE).splitlines()
        for line in lines:
            with contextlib.suppress(documents.UnfitError):
                found.append(documents.converted(line, Sample))
        return found

    def add(self, sample: Sample) -> None:
        """Write one line through to the disk, apart from one before it that was cut off."""
        with self._path.open("ab") as file:
            file.write(b"\n" + msgspec.json.encode(sample) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def folder(*facts: object) -> Path:
    """Return the folder of the proof that `facts` describe: everything that its samples rest on.

    It belongs to this process from now on. While another one is at the very same proof, this one
    gets a folder of its own, which nobody will come back for.
    """
    path = cache.folder("proofs") / cache.key(__version__, *facts)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:  # nothing can be kept: the notes serve this build alone
        return Path(tempfile.mkdtemp(prefix="whisperopt-"))
    cache.use(path)
    return path if _owned(path / "owner") else path.with_name(f"{path.name}-{os.getpid()}")


def _owned(owner: Path) -> bool:
    """Take possession, unless a process that still runs did so before."""
    try:
        with owner.open("x", encoding="utf-8") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        text = owner.read_text("utf-8", "replace")
        known = int(text) if text.isdecimal() else 0
        if known != os.getpid() and process.alive(known):
            return False
        owner.write_text(str(os.getpid()), "utf-8")
    return True


def forget(*folders: Path) -> None:
    """Remove journals whose evidence is safe, and those that nobody came back for."""
    for path in folders:
        cache.remove(path)
    cache.evict("proofs")
