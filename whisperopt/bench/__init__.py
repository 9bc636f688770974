"""Measures one release on this machine: how fast and how right, and where the time goes."""

from collections.abc import Callable
from pathlib import Path

from whisperopt import artifact as artifacts
from whisperopt import isolated
from whisperopt.artifact import Artifact
from whisperopt.bench import subject
from whisperopt.bench.figures import Measured, Observed, measured
from whisperopt.errors import BadInputError, WhisperoptError

__all__ = ["bench", "subjects"]

LIMIT = "WHISPEROPT_BENCH_SECONDS"
"""The variable that says how long one variant may take."""

_SECONDS = 3600
_CHILD = "whisperopt.bench.subject"
Progress = Callable[[str, str], None]


def bench(
    folder: Path,
    *,
    target: str | None = None,
    manifest: Path | None = None,
    rounds: int = 3,
    threads: int | None = None,
    profile: bool = False,
    progress: Progress = lambda _name, _doing: None,
) -> tuple[Measured, ...]:
    """Play the clips of `manifest` to variants of the release or artifact in `folder`.

    That is the best variant of each target that this host can use, or every usable one of
    `target`. Each runs in a process of its own; what goes wrong there is its `problem`. With
    `profile` the runtime's own profiler is asked for operators, too.
    """
    from whisperopt.evaluate import clips

    clip_set = clips.read(manifest or clips.packaged())
    found = []
    for one in subjects(folder, target):
        name = one.manifest.variant
        progress(name, "hearing the clips")
        request = subject.Request(
            artifact=str(one.path),
            manifest=str(clip_set.manifest),
            rounds=rounds,
            threads=threads,
            profile=profile,
        )
        found.append(measured(name, one.manifest.model, _observed(request)))
    return tuple(found)


def subjects(folder: Path, target: str | None = None) -> tuple[Artifact, ...]:
    """Return which artifacts of `folder` are measured: see `bench`."""
    from whisperopt.download import best
    from whisperopt.matrix import check_target
    from whisperopt.reasons import because
    from whisperopt.release import store
    from whisperopt.selection.here import judge

    if not store.is_release(folder):
        one = artifacts.read(folder)
        if target not in (None, one.manifest.target):
            raise BadInputError(
                f"{folder} was built for the target {one.manifest.target}, not for {target!r}",
                "Leave the target out, or name a release that has variants for it",
            )
        return (one,)
    content = store.read(folder)
    known = sorted({one.target for model in content.models.values() for one in model.variants})
    if target is not None:
        check_target(target, known, because("target.no-variant-at-all-in", folder))
    chosen = []
    for decisions in judge(content, content.models, None, target).values():
        best(decisions)
        usable = [one.variant for one in decisions if one.accepted]
        firsts = {one.target: one for one in reversed(usable)}
        chosen += usable if target else [one for one in usable if one is firsts[one.target]]
    return tuple(artifacts.read(store.place(folder, one)) for one in chosen)


def _observed(request: subject.Request) -> Observed | str:
    """Ask a process of its own, or this one where no other can be started."""
    import msgspec

    asked = msgspec.to_builtins(request)
    answer = isolated.ask(_CHILD, asked, limit=isolated.seconds(LIMIT, _SECONDS))
    if isinstance(answer, str):
        return answer
    try:
        return subject.understood(answer or subject.reply(asked))
    except WhisperoptError as error:
        return str(error)
