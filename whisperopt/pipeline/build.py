"""From a checkpoint to a release: resolve, make, check, race, rank, write."""

import time
from collections.abc import Iterable
from pathlib import Path

from whisperopt import cache, registry
from whisperopt import host as hosts
from whisperopt import matrix as matrices
from whisperopt.backend import Backend, Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import resolve
from whisperopt.errors import BadInputError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate.clips import ClipSet
from whisperopt.graph.core import CoreModel
from whisperopt.graph.graph_cache import GraphCache
from whisperopt.matrix import Matrix, Objective, Target
from whisperopt.pipeline import Budget, Progress, build_cache, foreseen, space
from whisperopt.pipeline.make import Maker
from whisperopt.pipeline.race import raced, settled
from whisperopt.pipeline.request import BuildRequest, TargetRequest
from whisperopt.pipeline.write import publish
from whisperopt.reasons import because
from whisperopt.release import catalog, layout, store
from whisperopt.release.catalog import Variant
from whisperopt.release.report import Report
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
    fresh: bool = False,
    budget: float | None = None,
    progress: Progress = lambda _name, _doing: None,
) -> Report:
    """Build `model` for every `target` into the release directory `out`; return its report.

    `clips` is a manifest of recordings to prove on instead of the packaged ones; without `proof`
    variants are only structurally proven. With `kv_heads` every recipe of GroupQueryAttention is
    also tried with so many key/value heads, mean-pooled. `objective` says what the best variant
    is, in place of the matrix. A required target without a selected variant is in
    `Report.missing`; everything that passed is released all the same.

    What an earlier build on the same grounds made, proved and timed is used again, down to a
    release in which nothing has changed; `fresh` proves and times everything anew. What is not
    proven when `budget` seconds are over counts for less, and says so.
    """
    limit = Budget.of(budget)
    started, out = time.monotonic(), Path(out)
    matrix = (matrix or matrices.load()).aiming_at(objective)
    chosen = matrix.choose(target.split(",") if isinstance(target, str) else target)
    backends = [registry.require_for(target) for target in chosen]
    ladders = [_ladder(*pair, kv_heads) for pair in zip(chosen, backends, strict=True)]
    store.recover(out)
    clip_set = clip_sets.read(Path(clips) if clips else clip_sets.packaged()) if proof else None
    checkpoint = resolve(model)
    if not catalog.is_model_name(checkpoint.name):
        raise BadInputError(because("build.name", repr(checkpoint.name)))
    _check_heads(kv_heads, checkpoint.dims)
    if clip_set is not None:
        clip_set = _played(clip_set, checkpoint, progress)
    probes = registry.probe_all(dict.fromkeys(backend.name for backend in backends))
    request = BuildRequest(
        checkpoint=checkpoint,
        matrix=matrix,
        targets=tuple(
            TargetRequest(target, backend, probes[backend.name], ladder)
            for target, backend, ladder in zip(chosen, backends, ladders, strict=True)
        ),
        host=hosts.probe().published,
        clip_set=clip_set,
        version=version,
        fresh=fresh,
    )
    if report := build_cache.unchanged(request, out):
        progress(report.model, f"nothing has changed since {report.created}")
        return report
    names = [
        f"{wanted.target.name}-{recipe.name}"
        for wanted in request.targets
        for recipe in wanted.ladder
        if not recipe.stands_in_for
    ]
    return _released(request, out, foreseen(progress, names), started, limit)


def _released(
    request: BuildRequest, out: Path, progress: Progress, started: float, limit: Budget
) -> Report:
    """Make, check, race, rank and write everything that is not known from before."""
    recipes = [recipe for wanted in request.targets for recipe in wanted.ladder]
    proof = request.clip_set is not None
    own = ("cpu", *(d for d in request.matrix.device_order if request.host.gpu_for(d)))
    here = [wanted for wanted in request.targets if wanted.target.device in own]
    racing = [recipe for wanted in here for recipe in wanted.ladder]
    space.check(space.needed(request.checkpoint, recipes, proof=proof, raced=racing), out)
    core = CoreModel(request.checkpoint, GraphCache(lasting=True))
    known = build_cache.BuildCache(request.grounds(), fresh=request.fresh)
    with store.staging(out) as staging:
        maker = Maker(request, core, staging, progress, known)
        maker.trials.budget = limit
        made = [result for wanted in request.targets for result in maker.run(wanted)]
        backends = {wanted.target.name: wanted.backend for wanted in request.targets}
        results = settled(
            raced(made, maker.trials), maker.trials, lambda variant: backends[variant.target]
        )
        with store.locked(out):
            seconds = time.monotonic() - started
            report = publish(staging, out, request, maker.trials.grading, results, seconds)
            store.prune(out)
            left = cache.stamps(out)
        core.cache.moved(layout.places(out.resolve(), _variants(out)))
    maker.trials.forget()
    if all(result.certain for result in results):
        build_cache.remember(request, out, left)
    return report


def _variants(out: Path) -> list[Variant]:
    models = catalog.read(out).models.values()
    return [variant for model in models for variant in model.variants]


def _played(clip_set: ClipSet, checkpoint: Checkpoint, progress: Progress) -> ClipSet:
    """Return what of `clip_set` the model can be played, and say what cannot."""
    found = clip_set.within(checkpoint.dims.window, checkpoint.decoding.known_languages)
    for left_out in found.left_out:
        progress("clips", f"left out: {left_out}")
    for note in found.notes():
        progress("clips", note)
    return found


def _ladder(target: Target, backend: Backend, kv_heads: int | None) -> tuple[Recipe, ...]:
    """Return what is tried for `target`: its recipes, and what of them can pool its heads."""
    ladder = registry.ladder(target, backend)
    if kv_heads is None:
        return ladder
    pooled = [r.pooled(kv_heads) for r in ladder if r.self_attention == "gqa"]
    return (*ladder, *pooled)


def _check_heads(kv_heads: int | None, dims: Dimensions) -> None:
    if kv_heads is not None and (kv_heads < 1 or dims.decoder_kv_heads % kv_heads):
        fitting = [n for n in range(1, dims.decoder_kv_heads) if dims.decoder_kv_heads % n == 0]
        choice = ", ".join(map(str, fitting))
        raise BadInputError(
            because("build.heads", kv_heads, heads=dims.decoder_kv_heads, fitting=choice)
        )
