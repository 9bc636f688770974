"""`whisperopt validate`."""

from pathlib import Path

import click

from whisperopt.cli import json_option, print_json
from whisperopt.cli.aim import aim_options, aimed
from whisperopt.errors import BadInputError, GateFailedError, IntegrityError


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
def validate(  # noqa: PLR0913  # one parameter for each option
    *,
    release: Path,
    target: str,
    model: str | None,
    clips: Path | None,
    checkpoint: str | None,
    imports: tuple[Path, ...],
    replay: bool,
    matrix: Path | None,
    objective: str | None,
    limits: tuple[str, ...],
    as_json: bool,
) -> None:
    """Prove the release DIR on this machine, and rank its variants by what was found.

    Every variant that this machine can run is proven in a process of its own, and those that pass
    are timed side by side. Killed in the middle, it goes on from the last clip when it is called
    again. The evidence is written into DIR; bring it to another copy with --import.
    """
    from whisperopt import matrix as matrices
    from whisperopt.cli.progress import Display
    from whisperopt.cli.render_validation import show_validation
    from whisperopt.pipeline import validate as validator

    given = {"--import": imports, "--replay": replay, "--clips": clips, "--checkpoint": checkpoint}
    one, *others = [name for name, value in given.items() if value] or [""]
    if others and one in {"--import", "--replay"}:
        raise BadInputError(
            f"{one} runs nothing, so it does not go with {' and '.join(others)}", "Leave one out"
        )
    with Display() as display:
        found = validator.validate(
            release,
            target=target,
            model=model,
            clips=clips,
            checkpoint=checkpoint,
            imports=imports,
            replay=replay,
            objective=aimed(objective, limits),
            matrix=matrices.load(matrix),
            progress=display.update,
        )
    show_validation(found)
    if as_json:
        print_json(found)
    if found.damaged:
        raise IntegrityError(
            f"The files of {', '.join(found.damaged)} are not those of the catalog",
            "Fetch or build them again",
        )
    if found.failed:
        raise GateFailedError(
            f"{', '.join(found.failed)} failed {'there' if imports else 'here'}",
            "The table above gives the reasons",
        )
    if replay and not all(change.asked for change in found.changes):
        raise GateFailedError(
            "The raw samples say otherwise than the release did", "The table above shows where"
        )
