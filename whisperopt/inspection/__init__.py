"""What a checkpoint, a release, an artifact or an ONNX file holds, and what targets make of it."""

from pathlib import Path

from whisperopt import artifact as artifacts
from whisperopt.checkpoint.resolve import resolve
from whisperopt.errors import BadInputError
from whisperopt.inspection.checkpoint import inspect_checkpoint
from whisperopt.inspection.disk import inspect_artifact, inspect_onnx, inspect_release
from whisperopt.inspection.facts import ArtifactFacts, Facts, ReleaseFacts
from whisperopt.reasons import because
from whisperopt.release import store

__all__ = [
    "failed_rehearsals",
    "inspect",
    "inspect_artifact",
    "inspect_checkpoint",
    "inspect_onnx",
    "inspect_release",
]


def inspect(source: str | Path, *, rehearse: bool = False) -> Facts:
    """Look into an ONNX file, a release, an artifact, or anything that `build` takes as a model.

    With `rehearse` the variants of a release or artifact are also handed to their real runtimes.

    Raises BadInputError for what does not exist or cannot be read, IntegrityError for a damaged
    catalog, NetworkError when the hub was needed and could not be reached.
    """
    path = Path(source).expanduser()
    if rehearse and not (store.is_release(path) or artifacts.is_artifact(path)):
        raise BadInputError(because("inspection.not-rehearsed", source))
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        return inspect_onnx(path)
    if store.is_release(path):
        return inspect_release(path, rehearse=rehearse)
    if artifacts.is_artifact(path):
        return inspect_artifact(artifacts.read(path), rehearse=rehearse)
    return inspect_checkpoint(resolve(str(source)))


def failed_rehearsals(facts: Facts) -> list[str]:
    """Return the names of the variants that a real runtime refused."""
    variants = facts.variants if isinstance(facts, ReleaseFacts) else (facts,)
    return [
        variant.variant
        for variant in variants
        if isinstance(variant, ArtifactFacts)
        and any(rehearsed.passed is False for rehearsed in variant.rehearsals)
    ]
