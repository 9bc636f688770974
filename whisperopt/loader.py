"""From a release, an artifact or a name to a model that listens on this host."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt import artifact as artifacts
from whisperopt import cache, registry
from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.errors import BadInputError, NothingFitsError, WhisperoptError
from whisperopt.fetcher import best, cached, resolve
from whisperopt.matrix import nearest
from whisperopt.release import catalog, store

if TYPE_CHECKING:
    from whisperopt.backend import Session
    from whisperopt.runtime.transcriber import Transcriber

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
    a release holds several. A variant that does not open gives way to the next one, and the
    transcriber's `decisions` say why. Only the chosen runtime is imported.
    """
    from whisperopt.runtime.transcriber import Transcriber

    passed_over: list[str] = []
    for candidate, reason in _candidates(source, target, model, passed_over):
        chosen = f"{candidate.manifest.variant}: {reason}"
        try:
            backend = registry.require(candidate.manifest.backend)
            session = backend.open(candidate, threads=threads)
            _self_test(session, candidate)
            return Transcriber(candidate, session, (chosen, *passed_over))
        except WhisperoptError as error:
            passed_over.append(f"{candidate.manifest.variant}: {error}")
    raise NothingFitsError(
        f"No variant of {source} opens on this host ({'; '.join(passed_over) or 'none was found'})",
        "`whisperopt explain` says more",
    )


def _self_test(session: "Session", artifact: Artifact) -> None:
    """Test a session the first time that its artifact is opened on this host with this runtime."""
    from whisperopt.runtime import self_test

    passed = cache.folder("self-tests") / _fingerprint(artifact)
    if passed.is_file():
        return
    self_test.check(session, artifact)
    with contextlib.suppress(OSError):  # without a cache it is tested again next time
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.touch()


def _fingerprint(artifact: Artifact) -> str:
    """Name this artifact on this host: its files as they are, hardware, drivers and runtimes."""
    files = sorted(
        (path.name, (facts := path.stat()).st_size, facts.st_mtime_ns)
        for path in artifact.path.iterdir()
    )
    key = msgspec.json.encode([str(artifact.path.resolve()), files, hosts.detect()])
    return hashlib.sha256(key).hexdigest()


def _candidates(
    source: str | Path | Artifact, target: str, model: str | None, passed_over: list[str]
) -> Iterator[tuple[Artifact, str]]:
    if isinstance(source, Artifact):
        yield source, "asked for"
        return
    folder = Path(source)
    if (folder / catalog.NAME).is_file() or (folder / ".commit").is_dir():
        store.recover(folder)
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
    content = catalog.read(folder)
    if model is None and len(content.models) > 1:
        names = ", ".join(sorted(content.models))
        raise BadInputError(
            f"{folder} holds several models: {names}",
            "Name one, or give the folder of one of its variants",
        )
    name = model or next(iter(content.models), DEFAULT)
    wanted = None if target == "auto" else target
    known = sorted({variant.target for variant in content.model(name).variants})
    if wanted is not None and wanted not in known:
        raise BadInputError(
            f"{folder} has no variant of {name} for the target {target!r}", nearest(target, known)
        )
    decisions = resolve(content, name, hosts.detect(), target=wanted)
    best(decisions)
    for decision in decisions:
        try:
            if decision.accepted:
                yield artifacts.read(folder / decision.variant.path), decision.reason
            elif decision.installable:
                passed_over.append(f"{decision.variant.name}: {decision.reason}. {decision.hint}")
        except BadInputError as error:  # a damaged folder is no reason to give the others up
            passed_over.append(f"{decision.variant.name}: {error}")


def _of_cache(name: str, target: str) -> Iterator[tuple[Artifact, str]]:
    folders = cached(name)
    if not folders:
        raise BadInputError(
            f"There is no release, no artifact and no fetched model {name!r}",
            f"Build one with `whisperopt build {name} --target all --out DIR`, or fetch one with"
            f" `whisperopt fetch {name} --repo DIR`",
        )
    found = [artifacts.read(folder) for folder in folders]
    fitting = [a for a in found if target in ("auto", a.manifest.target)]
    if not fitting:
        raise BadInputError(
            f"No fetched variant of {name} is for the target {target!r}",
            nearest(target, sorted({one.manifest.target for one in found})),
        )
    yield from ((one, "fetched last") for one in fitting)


def _restricted(one: Artifact, target: str) -> Artifact:
    if target not in ("auto", one.manifest.target):
        raise BadInputError(
            f"{one.path} was built for the target {one.manifest.target}, not for {target}"
        )
    return one
