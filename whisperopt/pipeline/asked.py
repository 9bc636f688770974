"""What a build is asked for, and whether an earlier one has left just that in its release."""

import hashlib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from whisperopt import cache
from whisperopt.backend import Backend, Probe, Recipe
from whisperopt.cache import Stamp
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.evaluate.clips import ClipSet
from whisperopt.host import Host
from whisperopt.matrix import Matrix, Target
from whisperopt.pipeline.circumstances import circumstances, rehearsal_probes
from whisperopt.release import report as reports
from whisperopt.release.report import Report

_KIND = "builds"


class Row(msgspec.Struct, frozen=True):
    """One target with everything that it is built by."""

    target: Target
    backend: Backend
    probe: Probe
    ladder: tuple[Recipe, ...]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a release follows from."""

    checkpoint: Checkpoint
    matrix: Matrix
    rows: tuple[Row, ...]
    host: Host
    clip_set: ClipSet | None
    """None: nothing is proven beyond the structure."""
    version: str | None = None
    fresh: bool = False
    """Whether proofs and times of earlier builds count for nothing."""

    @property
    def recipes(self) -> list[Recipe]:
        """Return every recipe of every target."""
        return list(chain.from_iterable(row.ladder for row in self.rows))

    def grounds(self) -> list[Any]:
        """Return what every proof of this build rests on, whatever the variant."""
        found = circumstances(self.host, (row.backend for row in self.rows))
        tokenizer = hashlib.sha256(self.checkpoint.tokenizer_json()).hexdigest()
        return [*found, self.clip_set and self.clip_set.digest, tokenizer]

    def key(self) -> str:
        """Return a name that another build has only if it would make the same release."""
        model = self.checkpoint
        return cache.key(
            self.grounds(),
            [model.name, model.source, model.digest(), model.dims, model.decoding],
            self.matrix,
            [
                [row.target, row.probe, row.ladder, rehearsal_probes(row.backend)]
                for row in self.rows
            ],
            self.version,
        )


class _Left(msgspec.Struct, frozen=True):
    """What a build left behind: its key, and the files of the release after it."""

    key: str
    stamps: tuple[Stamp, ...]


def unchanged(asked: Asked, out: Path) -> Report | None:
    """Return the report of the release `out` if it is what `asked` would make, file by file."""
    if asked.fresh:
        return None
    left = cache.recall(_KIND, _name(out), _Left)
    if left is None or left.key != asked.key() or left.stamps != stamps(out):
        return None
    return reports.read(out)


def remember(asked: Asked, out: Path, left: tuple[Stamp, ...]) -> None:
    """Note that the release `out`, with the files `left` in it, is what `asked` makes."""
    cache.keep(_KIND, _name(out), _Left(asked.key(), left))


def _name(out: Path) -> str:
    return cache.key(str(out.resolve()))


def stamps(out: Path) -> tuple[Stamp, ...]:
    """Return the stamps of all files in the release `out`."""
    return tuple(Stamp.of(path) for path in _walk(out))


def _walk(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
