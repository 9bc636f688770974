"""Measures variants on this machine: how fast and how right, and where the time goes."""

from collections.abc import Callable, Iterable
from pathlib import Path

from whisperopt import process
from whisperopt.artifact import Artifact
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate.bench import handler
from whisperopt.evaluate.bench.figures import Measured, Observed, measured
from whisperopt.process import Failure

__all__ = ["bench"]

LIMIT = "WHISPEROPT_BENCH_SECONDS"
"""The variable that says how long one variant may take."""

_SECONDS = 3600


def bench(
    artifacts: Iterable[Artifact],
    *,
    manifest: Path | None = None,
    rounds: int = 3,
    threads: int | None = None,
    profile: bool = False,
    progress: Callable[[str, str], None] = lambda _name, _doing: None,
) -> tuple[Measured, ...]:
    """Play the clips of `manifest`, by default our own, to each of `artifacts`.

    Each runs in a process of its own; what goes wrong there is its `problem`. With `profile` the
    runtime's own profiler is asked for operators, too.
    """
    from whisperopt.evaluate import clips

    clip_set = clips.read(manifest or clips.packaged())
    found = []
    for artifact in artifacts:
        name = artifact.manifest.variant
        progress(name, "hearing the clips")
        request = handler.BenchRequest(
            artifact=artifact.path,
            manifest=clip_set.manifest,
            rounds=rounds,
            threads=threads,
            profile=profile,
        )
        found.append(measured(name, artifact.manifest.model, _observed(request)))
    return tuple(found)


def _observed(request: handler.BenchRequest) -> Observed | str:
    """Ask a process of its own, or this one where no other can be started."""
    limit = process.seconds(LIMIT, _SECONDS)
    answer = process.ask(handler.observe, request, limit=limit)
    if not isinstance(answer, Failure):
        return answer
    if answer != process.IMPOSSIBLE:
        return str(WhisperoptError(answer.reason)) if answer.certain else str(answer)
    try:
        return handler.observe(request)
    except WhisperoptError as error:
        return str(error)
