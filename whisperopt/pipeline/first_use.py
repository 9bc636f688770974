"""What the first use of a release settles on this machine, if asked to: which variant is fastest."""

from pathlib import Path

import msgspec

from whisperopt import cache, download
from whisperopt.artifact import Artifact
from whisperopt.errors import NothingFitsError
from whisperopt.pipeline import Progress
from whisperopt.pipeline.tune import check, read, tune
from whisperopt.reasons import Reason, because
from whisperopt.release import catalog as catalogs
from whisperopt.release import layout, store
from whisperopt.release.catalog import Catalog
from whisperopt.repository import opening, reading
from whisperopt.selection import tuned
from whisperopt.selection.decisions import choose, contenders
from whisperopt.trust.client import Trust

BUDGET = 20.0
"""Seconds that are enough for the smallest model."""
_TOP = 3


def settle(
    release: Path,
    model: str | None = None,
    *,
    target: str | None = None,
    device: str | None = None,
    budget: float = BUDGET,
    progress: Progress = lambda _name, _doing: None,
) -> Reason | None:
    """Race those that may win and remember who did, within `budget` seconds; or return why not.

    What is remembered is not raced again. Raises `BadInputError` for what can never be raced.
    """
    check(budget)
    content, name = read(release, model)
    if already := _already(content, name, target, device):
        return already
    try:
        tune(
            *(release, name),
            target=target,
            device=device,
            top=_TOP,
            budget=budget,
            progress=progress,
        )
    except NothingFitsError as error:
        return error.reason
    return None


def fetch(  # noqa: PLR0913  # what `download.fetch` takes
    model: str,
    *,
    repo: str | Path,
    to: Path | None = None,
    target: str | None = None,
    device: str | None = None,
    trust: Trust | None = None,
    insecure: bool = False,
    budget: float = BUDGET,
    progress: Progress = lambda _name, _doing: None,
) -> tuple[Artifact, Reason | None]:
    """Fetch those that may win, race them, and keep the winner; or return why there was no race.

    Takes and raises what `download.fetch` does. The others are gone in the end.
    """

    def arrived(file: str, done: int, size: int) -> None:
        progress("", f"{file} {100 * done // max(size, 1)} %")

    check(budget)
    release = opening.open_release(repo, model, trust=trust, insecure=insecure)
    asked, model = model, reading.split(model)[0]
    catalog, whence = release.catalog, repo
    why = _already(catalog, model, target, device)
    home = cache.folder("artifacts")
    with store.disk_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    with store.disk_errors(home), store.new_folder(home) as staging:
        if why is None:
            chosen = contenders(
                choose(catalog, model, None, target, device=device, racing=True), _TOP
            )
            rivals = [decision.variant for decision in chosen]
            megabytes = sum(variant.size for variant in rivals) / 1e6
            names = ", ".join(variant.name for variant in rivals)
            progress(model, str(because("tuned.fetching", names, megabytes=megabytes)))
            for variant in rivals:
                download.bring(release.source, model, variant, staging / variant.path, arrived)
            entry = catalog.model(model)
            entry = msgspec.structs.replace(
                entry, variants=layout.apart(entry.variants), documents=()
            )
            own = msgspec.structs.replace(catalog, models={model: entry})
            (staging / catalogs.NAME).write_bytes(catalogs.encode(own))
            why = settle(
                *(staging, model), target=target, device=device, budget=budget, progress=progress
            )
            whence = repo if why else staging
        wish = download.Wish(
            model=asked if whence is repo else model,
            repo=whence,
            to=to,
            target=target,
            device=device,
            trust=trust,
            insecure=insecure,
            origin=repo,
        )
        return download.deliver(wish, arrived).artifact, why


def _already(
    catalog: Catalog, model: str, target: str | None, device: str | None
) -> Reason | None:
    known = tuned.recall(catalog, model, target, device)
    return because("tuned.already", date=known.started.date().isoformat()) if known else None
