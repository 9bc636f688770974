"""From a release, an artifact or a name to a model that listens on this host."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whisperopt import artifact as artifacts
from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.download import Decision, best, cached, resolve
from whisperopt.errors import BadInputError, NothingFitsError, WhisperoptError
from whisperopt.host import Host
from whisperopt.matrix import check_target
from whisperopt.reasons import because
from whisperopt.release import store
from whisperopt.runtime import first_open
from whisperopt.selection.tuned import recall, reorder

if TYPE_CHECKING:
    from whisperopt.runtime.transcriber import Opened, Transcriber

DEFAULT = "tiny.en"
"""The model that is meant where none is named."""


def load(
    source: str | Path | Artifact = DEFAULT,
    target: str = "auto",
    *,
    model: str | None = None,
    threads: int | None = None,
) -> "Transcriber":
    """Open the best variant of `source` for this host.

    `source` is a release directory, an artifact (folder or value), or the name of a model that
    was fetched before. `target` restricts the choice to one target; `model` names the model where
    a release holds several. A variant that does not open, or that stops working later, gives way
    to the next one, and the transcriber's `decisions` say why. Only the chosen runtime is imported.
    """
    from whisperopt.runtime.transcriber import Transcriber

    passed_over: list[str] = []
    opened = _opened(_candidates(source, target, model, passed_over), passed_over, threads)
    first = next(opened, None)
    if first is None:
        why = "; ".join(passed_over) or "none was found"
        raise NothingFitsError(
            f"No variant of {source} opens on this host ({why})",
            "`whisperopt doctor` says what is missing here",
        )
    artifact, session, chosen = first
    return Transcriber(artifact, session, (chosen, *passed_over), opened, passed_over)


def _opened(
    candidates: Iterator[tuple[Artifact, str]], passed_over: list[str], threads: int | None
) -> Iterator["Opened"]:
    """Open one candidate after another, each only when it is asked for."""
    for candidate, reason in candidates:
        try:
            session = first_open.open_session(candidate, threads=threads)
        except (WhisperoptError, OSError) as error:
            passed_over.append(f"{candidate.manifest.variant}: {error}")
        else:
            yield candidate, session, f"{candidate.manifest.variant}: {reason}"


def _candidates(
    source: str | Path | Artifact, target: str, model: str | None, passed_over: list[str]
) -> Iterator[tuple[Artifact, str]]:
    if isinstance(source, Artifact):
        yield source, "asked for"
        return
    folder = Path(source)
    if store.is_release(folder):
        yield from _of_release(folder, target, model, passed_over)
    elif artifacts.is_artifact(folder):
        yield _restricted(artifacts.read(folder), target), "asked for"
    elif folder.exists():
        raise BadInputError(
            f"{folder} is neither a release nor an artifact",
            "Give a folder that `whisperopt build` or `whisperopt fetch` wrote",
        )
    else:
        yield from _of_cache(str(source), target)


def _of_release(
    folder: Path, target: str, model: str | None, passed_over: list[str]
) -> Iterator[tuple[Artifact, str]]:
    content = store.read(folder)
    if model is None and len(content.models) > 1:
        names = ", ".join(sorted(content.models))
        raise BadInputError(
            f"{folder} holds several models: {names}",
            "Name one, or give the folder of one of its variants",
        )
    name = model or next(iter(content.models), DEFAULT)
    wanted = None if target == "auto" else target
    known = sorted({variant.target for variant in content.model(name).variants})
    if wanted is not None:
        check_target(wanted, known, because("target.no-variant-in", folder, model=name))
    host = hosts.detect()
    decisions = reorder(resolve(content, name, host, target=wanted), recall(content, name, wanted))
    best(decisions)
    passed_over += _unused_gpus(decisions, host, wanted)
    for decision in decisions:
        try:
            if decision.accepted:
                yield artifacts.read(store.place(folder, decision.variant)), decision.reason
            elif decision.installable and (told := _told(decision)) not in passed_over:
                passed_over.append(told)
        except BadInputError as error:  # a damaged folder is no reason to give the others up
            passed_over.append(f"{decision.variant.name}: {error}")


def _unused_gpus(decisions: Sequence[Decision], host: Host, target: str | None) -> list[str]:
    """Say for each target of a GPU that this host has why its first variant cannot be used."""
    found: dict[str, Decision] = {}
    for decision in decisions:
        variant = decision.variant
        if target in (None, variant.target) and host.gpu_for(variant.device):
            found.setdefault(variant.target, decision)
    return [_told(decision) for decision in found.values() if not decision.accepted]


def _told(decision: Decision) -> str:
    return f"{decision.variant.name}: {decision.reason}. {decision.hint}".rstrip()


def _of_cache(name: str, target: str) -> Iterator[tuple[Artifact, str]]:
    folders = cached(name)
    if not folders:
        raise BadInputError(
            f"There is no release, no artifact and no fetched model {name!r}",
            f"Build one with `whisperopt build {name} --target all --out DIR`, or fetch one with"
            f" `whisperopt fetch {name} --repo DIR`",
        )
    found = [artifacts.read(folder) for folder in folders]
    if target != "auto":
        known = sorted({artifact.manifest.target for artifact in found})
        check_target(target, known, because("target.not-fetched", name))
    fitting = [artifact for artifact in found if target in ("auto", artifact.manifest.target)]
    yield from ((one, "fetched last") for one in fitting)


def _restricted(one: Artifact, target: str) -> Artifact:
    if target not in ("auto", one.manifest.target):
        own = one.manifest.target
        raise BadInputError(because("target.another", one.path, own=own, target=target))
    return one
