"""From a checkpoint to a release: author, rewrite, prove, select, write."""

import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from whisperopt import host as hosts
from whisperopt import matrix as matrices
from whisperopt import registry
from whisperopt.backend import Recipe
from whisperopt.builder import space
from whisperopt.builder.line import Line, Progress
from whisperopt.builder.publish import publish
from whisperopt.builder.summary import summarize
from whisperopt.builder.timing import raced
from whisperopt.checkpoint.resolve import resolve
from whisperopt.errors import BadInputError
from whisperopt.graph.core import CoreModel
from whisperopt.matrix import Matrix
from whisperopt.proof import clips as clip_sets
from whisperopt.ranking.objective import Objective
from whisperopt.records import page
from whisperopt.release import catalog, store
from whisperopt.release.report import Report
from whisperopt.report.page import FILE
from whisperopt.whisper import Dimensions

__all__ = ["build"]


def build(  # noqa: PLR0913  # every one a choice of the user's, by name
    model: str = "tiny.en",
    *,
    target: str | Iterable[str] = "all",
    out: str | Path,
    clips: str | Path | None = None,
    proof: bool = True,
    kv_heads: int | None = None,
    version: str | None = None,
    objective: Objective | None = None,
    matrix: Matrix | None = None,
    progress: Progress = lambda _name, _doing: None,
) -> Report:
    """Build `model` for every `target` into the release directory `out`; return its report.

    `clips` is a manifest of recordings to prove on instead of the packaged ones; without `proof`
    variants are only structurally proven. With `kv_heads` every recipe of GroupQueryAttention is
    also tried with so many key/value heads, mean-pooled. `objective` says what the best variant
    is, in place of the matrix. A required target without a selected variant is in
    `Report.missing`; everything that passed is released all the same.
    """
    started = time.monotonic()
    matrix = (matrix or matrices.load()).aiming_at(objective)
    targets = matrix.choose(target.split(",") if isinstance(target, str) else target)
    backends = [registry.require_for(one) for one in targets]
    ladders = [
        _with_pooled(registry.ladder(one, backend), kv_heads)
        for one, backend in zip(targets, backends, strict=True)
    ]
    store.check(Path(out))
    clip_set = clip_sets.read(Path(clips) if clips else clip_sets.packaged()) if proof else None
    core = CoreModel(resolve(model))
    _check_name(core.checkpoint.name)
    _check_heads(kv_heads, core.checkpoint.dims)
    if clip_set is not None:
        known = core.checkpoint.decoding.known_languages
        clip_set = clip_set.within(core.checkpoint.dims.window, known)
        for left_out in clip_set.left_out:
            progress("clips", f"left out: {left_out}")
        for note in clip_set.notes():
            progress("clips", note)
    space.check(space.needed(core.checkpoint, [*chain(*ladders)], proof=proof), Path(out))
    host = hosts.probe()
    with store.staging(Path(out)) as staging:
        line = Line(core, host, clip_set, staging, progress)
        orders = zip(targets, backends, ladders, strict=True)
        lots = tuple(line.run(*order) for order in orders)
        lots = raced(lots, line.case, staging, progress)
        report = summarize(line, lots, time.monotonic() - started)
        with store.locked(Path(out)):
            report = publish(
                staging,
                Path(out),
                matrix=matrix,
                lots=lots,
                case=line.case,
                report=report,
                version=version,
            )
            (staging / FILE).write_text(page.render(staging, report, matrix), "utf-8")
            store.commit(staging, Path(out))
            store.prune(Path(out))
    line.forget()
    return report


def _with_pooled(ladder: tuple[Recipe, ...], kv_heads: int | None) -> tuple[Recipe, ...]:
    if kv_heads is None:
        return ladder
    pooled = [r.pooled(kv_heads) for r in ladder if r.self_attention == "gqa"]
    return (*ladder, *pooled)


def _check_heads(kv_heads: int | None, dims: Dimensions) -> None:
    if kv_heads is not None and (kv_heads < 1 or dims.decoder_kv_heads % kv_heads):
        fitting = [n for n in range(1, dims.decoder_kv_heads) if dims.decoder_kv_heads % n == 0]
        raise BadInputError(
            f"{dims.decoder_kv_heads} key/value heads cannot be pooled into {kv_heads}",
            f"Choose one of {', '.join(map(str, fitting))}",
        )


def _check_name(name: str) -> None:
    if not catalog.is_model_name(name):
        raise BadInputError(
            f"A release cannot hold a model called {name!r}",
            "Give the checkpoint's folder a short plain name such as my-model",
        )
