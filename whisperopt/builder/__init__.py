"""From a checkpoint to a release: author, rewrite, prove, select, write."""

import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from whisperopt import host as hosts
from whisperopt import matrix as matrices
from whisperopt import registry
from whisperopt.builder import space
from whisperopt.builder.line import Line, Progress
from whisperopt.builder.publish import publish
from whisperopt.builder.summary import summarize
from whisperopt.checkpoint.resolve import resolve
from whisperopt.errors import BadInputError
from whisperopt.graph.core import CoreModel
from whisperopt.matrix import Matrix
from whisperopt.proof import clips as clip_sets
from whisperopt.release import catalog, store
from whisperopt.release.report import Report

__all__ = ["build"]


def build(
    model: str = "tiny.en",
    *,
    target: str | Iterable[str] = "all",
    out: str | Path,
    clips: str | Path | None = None,
    proof: bool = True,
    version: str | None = None,
    matrix: Matrix | None = None,
    progress: Progress = lambda _name, _doing: None,
) -> Report:
    """Build `model` for every `target` into the release directory `out`; return its report.

    `clips` is a manifest of recordings to prove on instead of the packaged ones; without `proof`
    variants are only structurally proven. A required target without a selected variant is in
    `Report.missing`; everything that could be selected is released all the same.
    """
    started = time.monotonic()
    matrix = matrix or matrices.load()
    targets = matrix.choose(target.split(",") if isinstance(target, str) else target)
    backends = [registry.require_for(one) for one in targets]
    ladders = [registry.ladder(*pair) for pair in zip(targets, backends, strict=True)]
    store.check(Path(out))
    clip_set = clip_sets.read(Path(clips) if clips else clip_sets.packaged()) if proof else None
    core = CoreModel(resolve(model))
    _check_name(core.checkpoint.name)
    if clip_set is not None:
        clip_set = clip_set.within(core.checkpoint.dims.window)
        for left_out in clip_set.left_out:
            progress("clips", f"{left_out} is left out: longer than the model's window")
    space.check(space.needed(core.checkpoint, [*chain(*ladders)], proof=proof), Path(out))
    host = hosts.probe()
    with store.staging(Path(out)) as staging:
        line = Line(core, host, clip_set, staging, progress)
        pairs = zip(targets, backends, strict=True)
        lots = tuple(line.run(target, backend) for target, backend in pairs)
        report = summarize(line, lots, time.monotonic() - started)
        with store.locked(Path(out)):
            report = publish(
                staging, Path(out), matrix=matrix, lots=lots, report=report, version=version
            )
            store.commit(staging, Path(out))
            store.prune(Path(out))
    return report


def _check_name(name: str) -> None:
    if not catalog.is_model_name(name):
        raise BadInputError(
            f"A release cannot hold a model called {name!r}",
            "Give the checkpoint's folder a short plain name such as my-model",
        )
