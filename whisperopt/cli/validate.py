"""`whisperopt validate`."""

from pathlib import Path
from typing import Any

import click

from whisperopt.cli import json_option, print_json
from whisperopt.cli.aim import aim_options, aimed
from whisperopt.errors import BadInputError, GateFailedError, IntegrityError
from whisperopt.reasons import because

_SOURCES = ("import", "replay", "clips", "checkpoint")
"""What the verdicts can come from; the first two run nothing."""


@click.command()
@click.argument("release", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--target", default="all", help="all, or names separated by commas.")
@click.option("--model", help="Only this model of the release.")
@click.option("--clips", type=click.Path(path_type=Path), help="Manifest of clips to prove on.")
@click.option("--checkpoint", help="Compare every weight with this checkpoint's (default: MODEL).")
@click.option(
    "imports",
    "--import",
    multiple=True,
    metavar="EVIDENCE",
    type=click.Path(path_type=Path),
    help="Run nothing, take in evidence of another machine; may be repeated.",
)
@click.option("--replay", is_flag=True, help="Run nothing, judge the raw samples again.")
@click.option("--matrix", type=click.Path(path_type=Path), help="Another targets.toml.")
@aim_options
@json_option
def validate(
    *,
    matrix: Path | None,
    objective: str | None,
    limits: tuple[str, ...],
    as_json: bool,
    **asked: Any,
) -> None:
    """Prove the release DIR on this machine, and rank its variants by what was found.

    Every variant that this machine can run is proven in a process of its own, and those that pass
    are timed side by side. Killed in the middle, it goes on from the last clip when it is called
    again. The evidence is written into DIR; bring it to another copy with --import.
    """
    from whisperopt import matrix as matrices
    from whisperopt.cli.progress import progress
    from whisperopt.cli.render_validation import show_validation
    from whisperopt.pipeline import validate as validator

    sources = {**asked, "import": asked["imports"]}
    given = [f"--{name}" for name in _SOURCES if sources[name]]
    if len(given) > 1 and given[0] in {"--import", "--replay"}:
        raise BadInputError(because("cli.runs-nothing", given[0], others=" and ".join(given[1:])))
    with progress() as update:
        aim, known = aimed(objective, limits), matrices.load(matrix)
        found = validator.validate(**asked, objective=aim, matrix=known, progress=update)
    show_validation(found)
    if as_json:
        print_json(found)
    if found.damaged:
        raise IntegrityError(because("cli.damaged", ", ".join(found.damaged)))
    if found.failed:
        where = "there" if asked["imports"] else "here"
        raise GateFailedError(because("cli.failed", ", ".join(found.failed), where=where))
    if asked["replay"] and not all(change.asked for change in found.changes):
        raise GateFailedError(because("cli.replay"))
