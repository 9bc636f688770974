"""`whisperopt explain` and `whisperopt fetch`."""

from pathlib import Path

import click

from whisperopt.cli import json_option, print_json
from whisperopt.cli.aim import aim_options, aimed
from whisperopt.errors import NothingFitsError
from whisperopt.matrix import check_target
from whisperopt.reasons import because

_HOST = click.option(
    "host_file",
    "--host",
    type=click.Path(path_type=Path),
    help="Decide for a recorded host instead of this one.",
)
_INSECURE = click.option("--insecure", is_flag=True, help="Allow plain http beyond this machine.")
_TARGET = click.option("--target", help="Restrict the choice to one target.")


@click.command()
@click.argument("repo")
@click.option("--model", help="Only this model of the release.")
@_HOST
@_TARGET
@_INSECURE
@aim_options
@json_option
def explain(
    *,
    repo: str,
    model: str | None,
    host_file: Path | None,
    target: str | None,
    insecure: bool,
    objective: str | None,
    limits: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say which variant of the release REPO (a folder or URL) a host gets, and why."""
    from whisperopt import download as fetcher
    from whisperopt import host as hosts
    from whisperopt.cli.render import show_decisions

    host = hosts.read(host_file) if host_file else None
    answers = fetcher.explain(
        repo, model, host, target, insecure=insecure, objective=aimed(objective, limits)
    )
    known = sorted({one.variant.target for decisions in answers.values() for one in decisions})
    if target is not None:
        check_target(target, known, because("target.not-in", repo))
    for name, decisions in answers.items():
        show_decisions(name, decisions)
    if as_json:
        print_json({"host": host or hosts.detect(), "models": answers})
    unserved = [name for name, d in answers.items() if not any(one.accepted for one in d)]
    if unserved:
        raise NothingFitsError(f"Nothing fits this host for {', '.join(unserved)}")


@click.command()
@click.argument("model")
@click.option("--repo", required=True, help="Release: a folder or an http(s) URL.")
@click.option(
    "--to", type=click.Path(path_type=Path), help="Folder to create; default: the cache."
)
@_HOST
@_TARGET
@_INSECURE
@json_option
def fetch(
    *,
    model: str,
    repo: str,
    to: Path | None,
    host_file: Path | None,
    target: str | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Fetch the best variant of MODEL for this host; every file's size and sha256 is checked."""
    from whisperopt import download as fetcher
    from whisperopt import host as hosts
    from whisperopt.cli.progress import Display
    from whisperopt.cli.render import show_decisions

    host = hosts.read(host_file) if host_file else None
    answers = fetcher.explain(repo, model, host, target, insecure=insecure)
    show_decisions(model, answers[model])
    with Display() as display:
        artifact = fetcher.fetch(
            model,
            repo=repo,
            to=to,
            host=host,
            target=target,
            insecure=insecure,
            progress=lambda file, done, total: display.update(
                "", f"{file} {100 * done // max(total, 1)} %"
            ),
        )
    click.echo(f"{artifact.manifest.variant} is in {artifact.path}", err=True)
    if as_json:
        print_json({"path": artifact.path, "variant": artifact.manifest.variant})
