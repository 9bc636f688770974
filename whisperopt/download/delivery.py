"""Which variant a host gets of a release, and the way that it comes to it."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from whisperopt import artifact, cache, process
from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.download import lock_file, references, transport
from whisperopt.download.arrival import Progress, bring, difference, is_there
from whisperopt.download.references import Kind, Reference, folder_of
from whisperopt.download.transport import OfflineSource, Source
from whisperopt.errors import BadInputError, NothingFitsError, WhisperoptError
from whisperopt.host import Host, fingerprint
from whisperopt.matrix import Objective, check_target
from whisperopt.reasons import Reason, because
from whisperopt.release import store
from whisperopt.release.catalog import ModelEntry, Variant
from whisperopt.repository import opening, reading
from whisperopt.repository.opening import Release
from whisperopt.selection.decisions import Decision, best, choose
from whisperopt.trust.client import Trust

_QUARANTINE = "quarantine"
_QUARANTINE_SECONDS = 7 * 24 * 60 * 60


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a release has for a host: every variant of a model, judged, best first."""

    release: Release
    model: str
    decisions: tuple[Decision, ...]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What `fetch` is asked for."""

    model: str
    repo: str | Path
    to: str | Path | None = None
    host: Host | None = None
    target: str | None = None
    device: str | None = None
    variant: str | None = None
    trust: Trust | None = None
    insecure: bool = False
    offline: bool = False
    lock: str | Path | None = None
    origin: str | Path | None = None
    """What the cache calls the repository, if not `repo`."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A variant that has arrived, and how it was chosen."""

    artifact: Artifact
    version: str
    digest: str
    why: Reason
    """Why this one."""
    passed_over: tuple[str, ...]
    """Those before it that do not open here, each with the reason."""
    unopened: Reason | None
    """Why it was not opened in a process of its own; None: it was, and passed."""


def fetch(  # noqa: PLR0913  # what restricts the choice, by name
    model: str,
    *,
    repo: str | Path,
    to: str | Path | None = None,
    host: Host | None = None,
    target: str | None = None,
    device: str | None = None,
    variant: str | None = None,
    trust: Trust | None = None,
    insecure: bool = False,
    offline: bool = False,
    lock: str | Path | None = None,
    progress: Progress | None = None,
) -> Artifact:
    """Bring the variant of `model` that fits `host` (default: this machine) into a folder.

    `model` is `MODEL` or `MODEL@VERSION`. `device` restricts the choice: `cpu`, `gpu`, or an
    adapter's UUID, LUID or PCI address. One that is named by `variant` is brought whatever the
    host. `repo` is the folder or URL of a build folder or a repository, of which `trust` says what
    is believed. `to` must be absent, empty or hold the same variant, which is then used as it is;
    the default is a folder in the cache, which is mended if it is damaged. `offline` asks no
    server, and takes what is in the cache. `lock` is a file that pins the variant for hosts of this
    class, or will. On this machine the variant is opened once, in another process, and gives way to
    the next if that fails. What has arrived before a failure stays in the cache for the next
    attempt. Raises `NothingFitsError`, `IntegrityError`, `DiskError` or `NetworkError`.
    """
    wish = Wish(
        model=model,
        repo=repo,
        to=to,
        host=host,
        target=target,
        device=device,
        variant=variant,
        trust=trust,
        insecure=insecure,
        offline=offline,
        lock=lock,
    )
    return deliver(wish, progress).artifact


def deliver(
    wish: Wish, progress: Progress | None = None, decided: Callable[[Offer], object] = id
) -> Delivery:
    """Do what `fetch` does and tell how; `decided` hears of all variants before one arrives."""
    model = reading.split(wish.model)[0]
    release = opening.open_release(
        *(wish.repo, wish.model), trust=wish.trust, insecure=wish.insecure, offline=wish.offline
    )
    entry = release.catalog.model(model)
    targets = sorted({variant.target for variant in entry.variants})
    check_target(wish.target, targets, because("target.no-variant", model))
    if wish.to is None and isinstance(home := cache.home(), Reason):
        raise BadInputError(home)
    candidates = _candidates(wish, release, model, decided)
    passed_over: list[str] = []
    for candidate in candidates:
        variant = candidate.variant
        place = cache.folder("artifacts") / folder_of(model, variant)
        destination = place if wish.to is None else _resolved(Path(wish.to))
        patience = transport.most_seconds(variant.size)  # who takes longer is stuck
        with references.turn(place.name, patience), store.disk_errors(destination):
            unopened = _unopened(wish)
            if unopened is None and (known := _quarantined(variant)):
                passed_over.append(f"{variant.name}: {known}")
                continue
            mend = wish.to is None
            came = _arrived(release.source, model, variant, destination, progress, mend=mend)
            found = artifact.read(destination, digests=variant.digests)
            if unopened is None and (failure := _failure(candidate, destination)):
                passed_over.append(f"{variant.name}: {failure}")
                if wish.to and not came:
                    break  # nothing else may take its place
                _take_away(destination, variant)
                continue
        _remember(wish, entry, variant, destination)
        return Delivery(
            artifact=found,
            version=entry.version,
            digest=variant.digest,
            why=candidate.why,
            passed_over=tuple(passed_over),
            unopened=unopened,
        )
    why = "; ".join(passed_over)
    raise NothingFitsError(because("load.nothing-opens", wish.repo, why=why))


def take(release: Release, model: str, variant: Variant) -> Artifact:
    """Bring one variant of a release into the cache, unless it is there."""
    if isinstance(home := cache.home(), Reason):
        raise BadInputError(home)
    destination = cache.folder("artifacts") / folder_of(model, variant)
    patience = transport.most_seconds(variant.size)
    with references.turn(destination.name, patience), store.disk_errors(destination):
        _arrived(release.source, model, variant, destination, None, mend=True)
    return artifact.read(destination, digests=variant.digests)


def _candidates(
    wish: Wish, release: Release, model: str, decided: Callable[[Offer], object]
) -> list[Decision]:
    """Return what may be brought, best first: the one that is asked for or pinned, or what fits."""
    entry = release.catalog.model(model)
    if wish.variant:
        release.variant(model, wish.variant)
    offer = _offer(release, model, wish.host, wish.target, device=wish.device)
    if isinstance(release.source, OfflineSource):
        kept = tuple(_if_cached(model, decision) for decision in offer.decisions)
        offer = msgspec.structs.replace(offer, decisions=kept)
    decisions, host = offer.decisions, wish.host or hosts.detect()
    pin = lock_file.pinned(Path(wish.lock), model, host, entry) if wish.lock else None
    if wish.variant and pin and wish.variant != pin.name:
        raise BadInputError(because("lock.asked", wish.lock, variant=pin.name))
    decided(offer)
    if name := pin.name if pin else wish.variant:
        why = "lock.pinned" if pin else "load.asked-for"
        found = next(decision for decision in decisions if decision.variant.name == name)
        if pin and not wish.variant and not found.accepted:
            raise NothingFitsError(
                because("lock.unfit", wish.lock, variant=name, why=found.reason)
            )
        return [msgspec.structs.replace(found, why=because(why, wish.lock or ""))]
    best(decisions)  # which says what is wrong with all of them
    return [decision for decision in decisions if decision.accepted]


def _if_cached(model: str, decision: Decision) -> Decision:
    """Reject what would have to be asked of a server."""
    if (cache.folder("artifacts") / folder_of(model, decision.variant)).is_dir():
        return decision
    why = because("unfit.offline") if decision.accepted else decision.why
    return msgspec.structs.replace(decision, accepted=False, why=why)


def _resolved(to: Path) -> Path:
    try:
        return to.resolve()
    except (OSError, RuntimeError):  # links that lead to each other
        raise BadInputError(
            because("release.unwritable", to, why="it is a loop of links")
        ) from None


def _arrived(
    source: Source,
    model: str,
    variant: Variant,
    destination: Path,
    progress: Progress | None,
    *,
    mend: bool,
) -> bool:
    """Bring what is not there as the catalog says; return whether there was anything to do."""
    if mend:
        there = difference(destination, variant) is None
        cache.use(destination)
    else:
        there = is_there(destination, variant)
    if not there:
        bring(source, model, variant, destination, progress, mend=mend)
    return not there


def _take_away(folder: Path, variant: Variant) -> None:
    for file in variant.files:
        (folder / file.path).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a mount point stays
        folder.rmdir()


def _unopened(wish: Wish) -> Reason | None:
    """Say why what comes is not opened in another process, if so."""
    if wish.variant:
        return because("download.asked-for")
    if wish.host or hosts.RECORDED in os.environ:
        return because("download.recorded")
    return None if process.possible() else process.IMPOSSIBLE.reason


def _note(variant: Variant) -> str:
    return cache.key(variant.digest, fingerprint.here())


def _quarantined(variant: Variant) -> str | None:
    """Return why a variant did not open on this host, as it is, within the last week."""
    known = cache.recall(_QUARANTINE, _note(variant), tuple[str, float])
    return known[0] if known and time.time() - known[1] < _QUARANTINE_SECONDS else None


def _failure(candidate: Decision, folder: Path) -> str | None:
    """Return why a variant does not open on this host, found out in a process of its own."""
    from whisperopt.runtime import first_open

    try:
        first_open.try_out(artifact.read(folder, candidate.gpu))
    except BadInputError:  # a setting, which says nothing of the variant
        raise
    except WhisperoptError as error:
        why = str(error).rstrip(".")
        cache.keep(_QUARANTINE, _note(candidate.variant), (why, time.time()))
        return why
    return None


def _remember(wish: Wish, entry: ModelEntry, variant: Variant, destination: Path) -> None:
    """Note what came of the wish, and pin it if there is a lock file."""
    model = reading.split(wish.model)[0]

    def reference(kind: Kind, asked: object) -> Reference:
        return Reference(
            kind=kind,
            asked=str(asked),
            model=model,
            version=entry.version,
            variant=variant.name,
            digest=variant.digest,
            path=str(destination),
            files=variant.files,
        )

    if wish.to is None:
        asked = reference("fetched", wish.origin or wish.repo)
        restricted = (wish.target, wish.device, wish.variant, wish.host)
        references.remember(asked, wish.model, *restricted)
    else:
        references.remember(reference("folder", destination))
    if wish.lock:
        host, path = wish.host or hosts.detect(), Path(wish.lock)
        with store.disk_errors(path):
            lock_file.pin(path, model, host, entry, variant)
        asked = reference("lock", path.absolute())
        references.remember(asked, model, lock_file.host_class(host))


def explain(
    repo: str | Path,
    model: str | None = None,
    host: Host | None = None,
    target: str | None = None,
    *,
    device: str | None = None,
    trust: Trust | None = None,
    insecure: bool = False,
    objective: Objective | None = None,
) -> dict[str, tuple[Decision, ...]]:
    """Judge every variant of `model` (default: of every model) in `repo` for `host`.

    By default that is this machine, and the objective is what it was tuned for, or else what the
    release was built for.
    """
    return {
        offer.model: offer.decisions
        for offer in offers(
            *(repo, model, host, target),
            device=device,
            trust=trust,
            insecure=insecure,
            objective=objective,
        )
    }


def offers(  # what restricts the choice, by name
    repo: str | Path,
    model: str | None = None,
    host: Host | None = None,
    target: str | None = None,
    *,
    device: str | None = None,
    trust: Trust | None = None,
    insecure: bool = False,
    objective: Objective | None = None,
) -> list[Offer]:
    """Judge what `explain` judges, and say in which release it is; an index is read once."""
    return [
        _offer(release, name, host, target, device=device, objective=objective)
        for name, release in opening.releases(repo, model, trust, insecure=insecure)
    ]


def _offer(
    release: Release,
    model: str,
    host: Host | None,
    target: str | None,
    *,
    device: str | None,
    objective: Objective | None = None,
) -> Offer:
    """Judge what is there; what a mirror does not have is rejected for that."""
    catalog = release.here(model)
    found = choose(catalog, model, host, target, objective, device=device)
    why = because("unfit.not-mirrored", place=release.source.where("").rstrip("/"))
    found += tuple(
        Decision(variant, accepted=False, why=why)
        for variant in release.catalog.model(model).variants
        if variant not in catalog.model(model).variants
    )
    return Offer(release=release, model=model, decisions=found)
