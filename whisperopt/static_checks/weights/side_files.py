"""What lies beside the graphs of an artifact, held against the checkpoint."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from whisperopt import artifact, documents
from whisperopt.artifact import MANIFEST, TOKENIZER
from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import BadInputError
from whisperopt.passes.plan import dims_of
from whisperopt.reasons import Reason, because
from whisperopt.release import genai

_FEW = 4


def faults(checkpoint: Checkpoint, folder: Path, recipe: Recipe) -> Iterator[Reason]:
    """Yield what in the artifact's other files is not as `checkpoint` and `recipe` ask.

    Files that let others open the artifact are compared where there are any, byte by byte with
    what whisperopt writes.
    """
    try:
        manifest = artifact.read(folder).manifest
    except BadInputError as error:
        yield error.reason
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
                yield _difference(name, found[name], value, whose)
    if _bytes(folder / TOKENIZER) != checkpoint.tokenizer_json():
        yield because("weights.tokenizer", TOKENIZER)
    with tempfile.TemporaryDirectory() as scratch:
        genai.write(Path(scratch), right)
        written = sorted(Path(scratch).iterdir())
        if any((folder / path.name).exists() for path in written):
            for path in written:
                if _bytes(folder / path.name) != path.read_bytes():
                    yield because("weights.side-file", path.name)


def _bytes(path: Path) -> bytes | None:
    try:
        return documents.content(path, documents.TOKENIZER)
    except (OSError, documents.UnfitError):
        return None


def _difference(name: str, found: Any, expected: Any, whose: str) -> Reason:
    """Say how a value of the manifest differs: of many values only those that one of both lacks."""
    if not isinstance(expected, Mapping | list | tuple):
        values = {"found": _short(found), "expected": _short(expected)}
        return because("weights.setting", MANIFEST, name=name, whose=whose, **values)
    a, b = (list(x.items()) if isinstance(x, Mapping) else x for x in (found, expected))
    lacks, adds = ([x for x in one if x not in other] for one, other in ((b, a), (a, b)))
    if not lacks and not adds:
        return because("weights.order", MANIFEST, name=name)
    told = ((verb, values) for verb, values in (("lacks", lacks), ("adds", adds)) if values)
    listed = " and ".join(f"{verb} {_some(values)}" for verb, values in told)
    return because("weights.settings", MANIFEST, name=name, listed=listed)


def _some(values: list[Any]) -> str:
    more = f" and {len(values) - _FEW} more" if len(values) > _FEW else ""
    return ", ".join(map(_short, values[:_FEW])) + more


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
