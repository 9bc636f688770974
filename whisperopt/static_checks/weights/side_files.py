"""What lies beside the graphs of an artifact, held against the checkpoint."""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from whisperopt import artifact
from whisperopt.artifact import MANIFEST, TOKENIZER
from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import BadInputError
from whisperopt.passes.plan import dims_of
from whisperopt.release import genai

_FEW = 4


def faults(checkpoint: Checkpoint, folder: Path, recipe: Recipe) -> Iterator[str]:
    """Yield what in the artifact's other files is not as `checkpoint` and `recipe` ask.

    Files that let others open the artifact are compared where there are any, byte by byte with
    what whisperopt writes.
    """
    try:
        manifest = artifact.read(folder).manifest
    except BadInputError as error:
        yield error.problem
        return
    dims = dims_of(recipe, checkpoint.dims)
    right = msgspec.structs.replace(
        manifest, recipe=recipe, dims=dims, decoding=checkpoint.decoding
    )
    for field in ("recipe", "dims", "decoding"):
        found, expected = (msgspec.structs.asdict(getattr(x, field)) for x in (manifest, right))
        for name, value in expected.items():
            if found[name] != value:
                whose = "the one that was asked for" if field == "recipe" else "the checkpoint's"
                yield f"{MANIFEST}: {_difference(name, found[name], value, whose)}"
    if _bytes(folder / TOKENIZER) != checkpoint.tokenizer_json():
        yield f"{TOKENIZER} is not the checkpoint's"
    with tempfile.TemporaryDirectory() as scratch:
        genai.write(Path(scratch), right)
        written = sorted(Path(scratch).iterdir())
        if any((folder / path.name).exists() for path in written):
            for path in written:
                if _bytes(folder / path.name) != path.read_bytes():
                    yield f"{path.name} is not what belongs to this model"


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _difference(name: str, found: Any, expected: Any, whose: str) -> str:
    """Say how two values differ, in one clause."""
    if isinstance(expected, Mapping):
        lacks, adds = _only(expected, found), _only(found, expected)
        other = [
            f"{k!r} as {found[k]}" for k in expected if k in found and found[k] != expected[k]
        ]
        return f"{name} {_listed(lacks, adds) or 'has ' + _some(other)}"
    if isinstance(expected, list | tuple):
        told = _listed(_only(expected, found), _only(found, expected))
        return f"{name} {told or 'has an order or repetitions of its own'}"
    return f"{name} is {_short(found)}, {whose} is {_short(expected)}"


def _only(one: Collection[Any], other: Collection[Any]) -> list[str]:
    return [_short(x) for x in one if x not in other]


def _listed(lacks: list[str], adds: list[str]) -> str:
    told = [f"{verb} {_some(what)}" for verb, what in (("lacks", lacks), ("adds", adds)) if what]
    return " and ".join(told)


def _some(words: list[str]) -> str:
    more = f" and {len(words) - _FEW} more" if len(words) > _FEW else ""
    return ", ".join(words[:_FEW]) + more


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
