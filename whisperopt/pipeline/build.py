"""From a checkpoint to a release: author, rewrite, prove, select, write."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from whisperopt import host as hosts
from whisperopt import matrix as matrices
from whisperopt import registry
from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import resolve
from whisperopt.errors import BadInputError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate.clips import ClipSet
from whisperopt.matrix import Matrix, Objective
from whisperopt.release import catalog, store
from whisperopt.release.report import Report
from whisperopt.whisper import Dimensions

__all__ = ["build"]

Progress = Callable[[str, str], None]
"""Called with the name of what is being made and a few words on what happens to it."""


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
    progress: Progress = lambda _name, _doing: None,
) -> Report:
    """Build `model` for every `target` into the release directory `out`; return its report.

    `clips` is a manifest of recordings to prove on instead of the packaged ones; without `proof`
    variants are only structurally proven. With `kv_heads` every recipe of GroupQueryAttention is
    also tried with so many key/value heads, mean-pooled. `objective` says what the best variant
    is, in place of the matrix. A required target without a selected variant is in
    `Report.missing`; everything that passed is released all the same.

    What an earlier build on the same grounds made, proved and timed is used again, down to a
    release in which nothing has changed; `fresh` proves and times everything anew.
    """
    from whisperopt.pipeline import build_cache
    from whisperopt.pipeline.request import BuildRequest, TargetRequest

    started = time.monotonic()
    matrix = (matrix or matrices.load()).aiming_at(objective)
    targets = matrix.choose(target.split(",") if isinstance(target, str) else target)
    backends = [registry.require_for(one) for one in targets]
    ladders = [
        _with_pooled(registry.ladder(one, backend), kv_heads)
        for one, backend in zip(targets, backends, strict=True)
    ]
    store.recover(Path(out))
    clip_set = clip_sets.read(Path(clips) if clips else clip_sets.packaged()) if proof else None
    checkpoint = resolve(model)
    _check_name(checkpoint.name)
    _check_heads(kv_heads, checkpoint.dims)
    if clip_set is not None:
        clip_set = _played(clip_set, checkpoint, progress)
    probes = registry.probe_all(dict.fromkeys(backend.name for backend in backends))
    request = BuildRequest(
        checkpoint=checkpoint,
        matrix=matrix,
        targets=tuple(
            TargetRequest(one, backend, probes[backend.name], ladder)
            for one, backend, ladder in zip(targets, backends, ladders, strict=True)
        ),
        host=hosts.probe(),
        clip_set=clip_set,
        version=version,
        fresh=fresh,
    )
    if report := build_cache.unchanged(request, Path(out)):
        progress(report.model, f"nothing has changed since {report.created}")
        return report
    from whisperopt.pipeline import making

    return making.make(request, Path(out), progress, started)


def _played(clip_set: ClipSet, checkpoint: Checkpoint, progress: Progress) -> ClipSet:
    """Return what of `clip_set` the model can be played, and say what cannot."""
    found = clip_set.within(checkpoint.dims.window, checkpoint.decoding.known_languages)
    for left_out in found.left_out:
        progress("clips", f"left out: {left_out}")
    for note in found.notes():
        progress("clips", note)
    return found


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
