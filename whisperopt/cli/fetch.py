"""`whisperopt explain` and `whisperopt fetch`."""

from pathlib import Path
from typing import Any

import click

from whisperopt import download as fetcher
from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.cli import (
    PATH,
    aim_options,
    answer,
    budget_option,
    device_option,
    json_option,
    say,
)
from whisperopt.cli.render import progress, show_decisions
from whisperopt.errors import BadInputError, NothingFitsError
from whisperopt.matrix import check_target
from whisperopt.reasons import because
from whisperopt.selection.decisions import Decision

_HOST = click.option(
    "host_file", "--host", type=PATH, help="Decide for a recorded host instead of this one."
)
_INSECURE = click.option("--insecure", is_flag=True, help="Allow plain http beyond this machine.")
_TARGET = click.option("--target", help="Restrict the choice to one target.")


@click.command()
@click.argument("repo")
@click.option("--model", help="Only this model of the release.")
@_HOST
@_TARGET
@device_option
@_INSECURE
@aim_options
@json_option
def explain(*, repo: str, host_file: Path | None, target: str | None, **asked: Any) -> None:
    """Say which variant of the release REPO (a folder or URL) a host gets, and why."""
    host = hosts.read(host_file) if host_file else None
    answers = fetcher.explain(repo, host=host, target=target, **asked)
    known = sorted({d.variant.target for decisions in answers.values() for d in decisions})
    check_target(target, known, because("target.not-in", repo))
    for name, decisions in answers.items():
        show_decisions(name, decisions)
    models = {name: [*map(_facts, decisions)] for name, decisions in answers.items()}
    answer({"host": host or hosts.detect(), "models": models})
    unserved = [
        name for name, d in answers.items() if not any(decision.accepted for decision in d)
    ]
    if unserved:
        raise NothingFitsError(because("cli.nothing-fits", ", ".join(unserved)))


def _facts(decision: Decision) -> dict[str, Any]:
    return {
        name: getattr(decision, name)
        for name in ("variant", "accepted", "reason", "hint", "installable", "gpu")
    }


@click.command()
@click.argument("model")
@click.option("--repo", required=True, help="Release: a folder or an http(s) URL.")
@click.option("--to", type=PATH, help="Folder to create; default: the cache.")
@_HOST
@_TARGET
@device_option
@click.option("--variant", help="This one, whatever the host.")
@click.option("--tune", is_flag=True, help="Fetch and race those that may win; keep the winner.")
@budget_option
@_INSECURE
@json_option
def fetch(
    *,
    host_file: Path | None,
    variant: str | None,
    tune: bool,
    budget: float | None,
    **asked: Any,
) -> None:
    """Fetch the best variant of MODEL for this host; every file's size and sha256 is checked."""
    if tune and variant:
        raise BadInputError(because("tuned.one", variant))
    artifact = (
        _raced(host_file, budget, **asked) if tune else _fetched(host_file, variant, **asked)
    )
    say(f"{artifact.manifest.variant} is in {artifact.path}")
    answer({"path": artifact.path, "variant": artifact.manifest.variant})


def _raced(host_file: Path | None, budget: float | None, **asked: Any) -> Artifact:
    from whisperopt.pipeline import first_use

    if host_file:
        raise BadInputError(because("tuned.recorded", "--host"))
    seconds = first_use.BUDGET if budget is None else budget
    with progress() as update:
        found, why = first_use.fetch(**asked, budget=seconds, progress=update)
    say(f"No race: {why}" if why else "It won the race on this machine")
    return found


def _fetched(
    host_file: Path | None, variant: str | None, model: str, to: Path | None, **asked: Any
) -> Artifact:
    asked |= {"model": model, "host": hosts.read(host_file) if host_file else None}
    show_decisions(model, fetcher.explain(**asked)[model])
    with progress() as update:
        return fetcher.fetch(
            **asked,
            to=to,
            variant=variant,
            progress=lambda file, done, size: update("", f"{file} {100 * done // max(size, 1)} %"),
        )
