"""`whisperopt explain` and `whisperopt fetch`."""

from pathlib import Path
from typing import Any

import click

from whisperopt import download as fetcher
from whisperopt import host as hosts
from whisperopt.cli import (
    PATH,
    aim_options,
    answer,
    budget_option,
    device_option,
    ended_by_exception,
    json_option,
    say,
    trust_options,
)
from whisperopt.cli.render import arriving, progress, show_decisions
from whisperopt.download.delivery import Offer
from whisperopt.errors import BadInputError, NothingFitsError
from whisperopt.matrix import check_target
from whisperopt.reasons import because
from whisperopt.selection.decisions import Decision

_HOST = click.option(
    "host_file", "--host", type=PATH, help="Decide for a recorded host instead of this one."
)
_TARGET = click.option("--target", help="Restrict the choice to one target.")


@click.command()
@click.argument("repo")
@click.option("--model", metavar="MODEL[@VERSION]", help="Only this model of the release.")
@_HOST
@_TARGET
@device_option
@trust_options
@aim_options
@json_option
def explain(*, repo: str, host_file: Path | None, target: str | None, **asked: Any) -> None:
    """Say which variant of the release REPO (a folder or URL) a host gets, and why.

    REPO is a build folder or a repository; MODEL may be MODEL@VERSION.
    """
    host = hosts.read(host_file) if host_file else None
    offers = fetcher.offers(repo, host=host, target=target, **asked)
    known = sorted({d.variant.target for offer in offers for d in offer.decisions})
    check_target(target, known, because("target.not-in", repo))
    for offer in offers:
        _tell(repo, offer)
        show_decisions(offer.model, offer.decisions)
    models = {offer.model: [*map(_facts, offer.decisions)] for offer in offers}
    versions = {offer.model: _version(offer) for offer in offers}
    kind = offers[0].release.kind if offers else None
    answer({"host": host or hosts.detect(), "models": models, "kind": kind, "versions": versions})
    unserved = [o.model for o in offers if not any(d.accepted for d in o.decisions)]
    if unserved:
        raise NothingFitsError(because("cli.nothing-fits", ", ".join(unserved)))


def _tell(repo: str, offer: Offer) -> None:
    """Print what `repo` is, which version is meant, and what there is to know of it."""
    release, found = offer.release, _version(offer)
    serial = "" if release.serial is None else f", serial {release.serial}"
    mirror = f", mirror of {release.mirror.source}" if release.mirror else ""
    say(f"{repo}: {release.kind}{serial}{mirror}; {offer.model} {found['version']}")
    if found["newer"]:
        say(f"There is a newer version: {offer.model} {found['newer']}")
    if found["withdrawn"]:
        why = found["withdrawn"]
        say(f"{offer.model} {found['version']} is withdrawn: {why}")


def _version(offer: Offer) -> dict[str, str]:
    """Return the version that is offered, a newer one, and why nobody should take it, if so."""
    resolved, entry = offer.release.resolved, offer.release.catalog.model(offer.model)
    return {
        "version": entry.version,
        "newer": resolved.newer if resolved else "",
        "withdrawn": resolved.version.withdrawn if resolved else "",
    }


def _facts(decision: Decision) -> dict[str, Any]:
    return {
        name: getattr(decision, name)
        for name in ("variant", "accepted", "reason", "hint", "installable", "gpu")
    }


@click.command()
@click.argument("model", metavar="MODEL[@VERSION]")
@click.option(
    "--repo", required=True, help="Build folder or repository: a folder or an http(s) URL."
)
@click.option("--to", type=PATH, help="Folder to create; default: the cache.")
@_HOST
@_TARGET
@device_option
@click.option("--variant", help="This one, whatever the host.")
@click.option("--tune", is_flag=True, help="Fetch and race those that may win; keep the winner.")
@budget_option
@click.option("--offline", is_flag=True, help="Ask no server; take what is in the cache.")
@click.option(
    "--lock", type=PATH, metavar="FILE", help="Pin in FILE what hosts like this get, or obey it."
)
@trust_options
@json_option
def fetch(
    *,
    host_file: Path | None,
    variant: str | None,
    tune: bool,
    budget: float | None,
    offline: bool,
    lock: Path | None,
    **asked: Any,
) -> None:
    """Fetch the best variant of MODEL for this host; every file's size and sha256 is checked.

    What has arrived before an interruption stays in the cache, and the next fetch goes on with it.
    """
    with ended_by_exception():
        if tune:
            for name, given in (("--variant", variant), ("--offline", offline), ("--lock", lock)):
                if given:
                    raise BadInputError(because("tuned.one", name))
            _raced(host_file, budget, **asked)
        else:
            host = hosts.read(host_file) if host_file else None
            asked |= {"variant": variant, "offline": offline, "lock": lock, "host": host}
            _fetched(fetcher.Wish(**asked))


def _raced(host_file: Path | None, budget: float | None, **asked: Any) -> None:
    from whisperopt.pipeline import first_use

    if host_file:
        raise BadInputError(because("tuned.recorded", "--host"))
    seconds = first_use.BUDGET if budget is None else budget
    with progress() as update:
        found, why = first_use.fetch(**asked, budget=seconds, progress=update)
    name = found.manifest.variant
    say(f"No race: {why}" if why else "It won the race on this machine")
    say(f"{name} is in {found.path}")
    answer({"path": found.path, "variant": name})


def _fetched(wish: fetcher.Wish) -> None:
    offered: list[Offer] = []

    def decided(offer: Offer) -> None:
        offered.append(offer)
        _tell(str(wish.repo), offer)
        show_decisions(offer.model, offer.decisions)

    with progress() as update:
        found = fetcher.deliver(wish, arriving(update), decided)
    name, place = found.artifact.manifest.variant, found.artifact.path
    (offer,) = offered
    say(f"{name} is in {place}: {offer.model} {found.version}, {found.why}")
    for passed in found.passed_over:
        say(f"Passed over: {passed}")
    if found.unopened:
        say(f"It was not opened: {found.unopened}")
    answer(
        {
            "path": place,
            "variant": name,
            **_version(offer),
            "digest": found.digest,
            "why": str(found.why),
            "passed_over": found.passed_over,
            "opened": found.unopened is None,
        }
    )
