"""Writes a checkpoint as another runtime's own pipeline opens it."""

import tempfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Literal

import msgspec

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import resolve
from whisperopt.checkpoint.shapes import required
from whisperopt.errors import BadInputError, DiskError
from whisperopt.exporter import openvino_genai
from whisperopt.exporter.openvino_genai import Precision
from whisperopt.reasons import because
from whisperopt.release import store

__all__ = ["Exported", "Format", "Precision", "export"]

Format = Literal["openvino-genai"]


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    model: str
    to: Format
    precision: Precision
    path: Path
    size_bytes: int
    files: tuple[str, ...]


def export(
    model: str,
    out: str | Path,
    *,
    to: Format = "openvino-genai",
    precision: Precision = "fp32",
    progress: Callable[[str, str], None] = lambda _name, _doing: None,
) -> Exported:
    """Write `model`, a checkpoint as `build` takes it, into the folder `out` as `to` opens it.

    `out` must be absent or empty, and appears only once it is complete. Raises BadInputError,
    DiskError, or WhisperoptError for what the converter refuses.
    """
    out = Path(out)
    openvino_genai.check_installed()
    _check_out(out)
    checkpoint = resolve(model)
    openvino_genai.check(checkpoint)
    _check_space(checkpoint, out)
    with store.disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".export-", dir=out.parent, ignore_cleanup_errors=True
        ) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            openvino_genai.write(
                checkpoint, made, precision=precision, scratch=Path(scratch), progress=progress
            )
            if out.exists():
                out.rmdir()
            made.replace(out)
    sizes = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    return Exported(
        model=checkpoint.name,
        to=to,
        precision=precision,
        path=out,
        size_bytes=sum(sizes.values()),
        files=tuple(sizes),
    )


def _check_out(out: Path) -> None:
    with store.disk_errors(out):
        if out.is_dir() and (first := next(out.iterdir(), None)) is not None:
            raise BadInputError(because("export.not-empty", out, first=first.name))
        if out.exists() and not out.is_dir():
            raise BadInputError(because("export.no-folder", out))


def _check_space(checkpoint: Checkpoint, out: Path) -> None:
    """The graphs lie on the disk in two forms for a while, at most in 32 bits."""
    needed = 2 * 4 * sum(prod(shape) for shape in required(checkpoint.dims).values())
    free = store.free_bytes(out)
    if needed > free:
        raise DiskError(because("export.no-space", out, mb=needed / 1e6, free=free / 1e6))
