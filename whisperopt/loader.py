"""From a release, an artifact or a name to a model that listens on this host."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from whisperopt import artifact as artifacts
from whisperopt import cache
from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.download import cached, read_folder, take, whole
from whisperopt.errors import BadInputError, IntegrityError, NothingFitsError, WhisperoptError
from whisperopt.host.device import serves
from whisperopt.matrix import check_target
from whisperopt.reasons import Reason, because
from whisperopt.release import store
from whisperopt.release.catalog import Catalog, Variant
from whisperopt.repository import opening, reading
from whisperopt.repository.opening import Release
from whisperopt.runtime import first_open
from whisperopt.selection.adapters import kind_of, on_device
from whisperopt.selection.decisions import Decision, best, choose
from whisperopt.trust.client import Trust

if TYPE_CHECKING:
    from whisperopt.runtime.transcriber import Opened, Transcriber

DEFAULT = "tiny.en"
"""The model that is meant where none is named."""


def load(  # noqa: PLR0913  # what restricts the choice, by name
    source: str | Path | Artifact = DEFAULT,
    target: str = "auto",
    *,
    model: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    tune: bool = False,
    budget: float | None = None,
    repo: str | Path | None = None,
    trust: Trust | None = None,
    insecure: bool = False,
) -> "Transcriber":
    """Open the best variant of `source` for this host.

    `source` is a release directory, an artifact (folder or value), or the name of a model that
    was fetched before. `target` restricts the choice to one target, `device` to `cpu`, to `gpu`, or
    to the adapter with that UUID, LUID or PCI address; `model` names the model where a release
    holds several. A variant that does not open, or that stops working later, gives way
    to the next one, and the transcriber's `decisions` say why. Only the chosen runtime is imported.

    With `tune` those variants of a release that may be the fastest are raced first, for `budget`
    seconds at most (default: 20), unless that was done before; `decisions` say why they were not.

    With a `repo`, as `fetch` takes it, `source` is a `MODEL` or `MODEL@VERSION` in it, and what is
    opened is fetched first.
    """
    from whisperopt.runtime.transcriber import Transcriber

    passed_over: list[str] = []
    asked = _Asked(None if target == "auto" else target, model, device)
    if tune:
        passed_over += _settled(source, asked, budget)
    if repo is None:
        candidates = _candidates(source, asked, passed_over)
    else:
        found = opening.open_release(repo, str(source), trust=trust, insecure=insecure)
        candidates = _of_repository(found, str(source), asked, passed_over)
    failures: list[Exception] = []
    opened = _opened(candidates, passed_over, threads, failures)
    first = next(opened, None)
    if first is None:
        if failures and all(isinstance(error, IntegrityError) for error in failures):
            raise failures[0]
        why = "; ".join(passed_over) or str(because("load.none"))
        raise NothingFitsError(because("load.nothing-opens", source, why=why))
    artifact, session, chosen = first
    return Transcriber(artifact, session, (chosen, *passed_over), opened, passed_over)


class _Asked(NamedTuple):
    """What restricts the choice."""

    target: str | None
    model: str | None
    device: str | None


def _settled(source: str | Path | Artifact, asked: _Asked, budget: float | None) -> list[str]:
    """Race what may be the fastest on this machine, and remember it; return why not, if so."""
    from whisperopt.pipeline import first_use

    if isinstance(source, Artifact) or not store.is_release(Path(source)):
        place = source.path if isinstance(source, Artifact) else source
        return [str(because("tuned.no-release", place))]
    why = first_use.settle(
        Path(source),
        **asked._asdict(),
        budget=first_use.BUDGET if budget is None else budget,
    )
    return [str(why)] if why else []


def _opened(
    candidates: Iterable[tuple[Artifact, Reason]],
    passed_over: list[str],
    threads: int | None,
    failures: list[Exception],
) -> Iterator["Opened"]:
    """Open one candidate after another, each only when it is asked for; note what fails, and why."""
    for candidate, why in candidates:
        name = candidate.manifest.variant
        try:
            session = first_open.open_session(candidate, threads=threads)
        except (WhisperoptError, OSError) as error:
            passed_over.append(f"{name}: {error}")
            failures.append(error)
        else:
            if candidate.path.parent == cache.folder("artifacts"):
                cache.use(candidate.path)
            yield candidate, session, f"{name}: {why}"


def _candidates(
    source: str | Path | Artifact, asked: _Asked, passed_over: list[str]
) -> Iterable[tuple[Artifact, Reason]]:
    """Return what may be opened, best first; add to `passed_over` why others may not."""
    if isinstance(source, Artifact):
        return [(on_device(source, asked.device), because("load.asked-for"))]
    folder = Path(source)
    if store.is_release(folder):
        return _of_release(folder, asked, passed_over)
    if artifacts.is_artifact(folder):
        artifact = read_folder(folder)
        own = artifact.manifest.target
        if asked.target not in (None, own):
            raise BadInputError(because("target.another", folder, own=own, target=asked.target))
        return [(on_device(artifact, asked.device), because("load.asked-for"))]
    if folder.exists():
        code = "load.repository" if reading.is_repository(folder) else "load.neither"
        raise BadInputError(because(code, folder))
    found = [artifacts.read(kept) for kept in cached(str(source))]
    if not found:
        raise BadInputError(because("load.unknown", source))
    if asked.target is not None:
        known = sorted({artifact.manifest.target for artifact in found})
        check_target(asked.target, known, because("target.not-fetched", source))
        found = [artifact for artifact in found if artifact.manifest.target == asked.target]
    found = [artifact for artifact in found if serves(kind_of(artifact), asked.device)] or found
    return [(on_device(artifact, asked.device), because("load.fetched")) for artifact in found]


def _of_release(
    folder: Path, asked: _Asked, passed_over: list[str]
) -> Iterator[tuple[Artifact, Reason]]:
    content = store.read(folder)
    if asked.model is None and len(content.models) > 1:
        names = ", ".join(sorted(content.models))
        raise BadInputError(because("load.several-models", folder, names=names))
    name = asked.model or next(iter(content.models), DEFAULT)
    known = sorted({variant.target for variant in content.model(name).variants})
    check_target(asked.target, known, because("target.no-variant-in", folder, model=name))
    yield from _chosen(
        content, name, asked, passed_over, lambda variant: whole(folder, name, variant)
    )


def _of_repository(
    found: Release, source: str, asked: _Asked, passed_over: list[str]
) -> Iterator[tuple[Artifact, Reason]]:
    name = reading.split(source)[0]
    known = sorted({variant.target for variant in found.catalog.model(name).variants})
    check_target(asked.target, known, because("target.no-variant", name))
    catalog = found.here(name)
    yield from _chosen(
        catalog, name, asked, passed_over, lambda variant: take(found, name, variant).path
    )


def _chosen(
    content: Catalog,
    name: str,
    asked: _Asked,
    passed_over: list[str],
    place: Callable[[Variant], Path],
) -> Iterator[tuple[Artifact, Reason]]:
    """Yield what fits, best first, each in the folder that `place` brings it to."""
    decisions = choose(content, name, target=asked.target, device=asked.device, trusting=True)
    best(decisions)
    unused = [*_unused(decisions, asked.target)]
    passed_over += map(_told, unused)
    for decision in decisions:
        try:
            if decision.accepted:
                folder, digests = place(decision.variant), decision.variant.digests
                yield artifacts.read(folder, decision.gpu, digests), decision.told
            elif decision.installable and decision not in unused:
                passed_over.append(_told(decision))
        except (WhisperoptError, OSError) as error:  # no reason to give the others up
            passed_over.append(f"{decision.variant.name}: {error}")


def _unused(decisions: Iterable[Decision], target: str | None) -> Iterator[Decision]:
    """Yield why each target whose GPU is here, or whose backend does not work, is not used."""
    host = hosts.detect()
    firsts: dict[str, Decision] = {}
    for decision in decisions:
        firsts.setdefault(decision.variant.target, decision)
    for decision in firsts.values():
        broken = decision.why.code == "unfit.broken"
        asked = decision.why.code != "unfit.other-device"
        here = asked and (broken or host.gpu_for(decision.variant.device))
        if here and not decision.accepted and target in (None, decision.variant.target):
            yield decision


def _told(decision: Decision) -> str:
    return f"{decision.variant.name}: {decision.reason}. {decision.hint}".rstrip()
