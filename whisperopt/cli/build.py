"""`whisperopt build`."""

from pathlib import Path

import click

from whisperopt.cli import json_option, print_json
from whisperopt.cli.aim import aim_options, aimed
from whisperopt.errors import GateFailedError


@click.command()
@click.argument("model", default="tiny.en")
@click.option("--target", default="all", help="all, or names separated by commas.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Release directory.")
@click.option("--clips", type=click.Path(path_type=Path), help="Manifest of clips to prove on.")
@click.option("--no-proof", is_flag=True, help="Only check the structure; nothing is run.")
@click.option("--fresh", is_flag=True, help="Prove and time again what an earlier build has.")
@click.option("--kv-heads", type=int, help="Also try so many pooled key/value heads.")
@click.option("--version", help="Release version; default: digest of the content.")
@click.option("--matrix", type=click.Path(path_type=Path), help="Another targets.toml.")
@aim_options
@json_option
def build(  # noqa: PLR0913  # one parameter for each option
    *,
    model: str,
    target: str,
    out: Path,
    clips: Path | None,
    no_proof: bool,
    fresh: bool,
    kv_heads: int | None,
    version: str | None,
    matrix: Path | None,
    objective: str | None,
    limits: tuple[str, ...],
    as_json: bool,
) -> None:
    """Build MODEL for every target, prove each variant, and select the best one for each target.

    MODEL is a path, a sample (tiny.en, base), or a model in the Hugging Face cache or hub.
    """
    from whisperopt import matrix as matrices
    from whisperopt.cli.progress import Display
    from whisperopt.cli.render import show_report
    from whisperopt.pipeline import build as builder

    with Display() as display:
        report = builder.build(
            model,
            target=target,
            out=out,
            clips=clips,
            proof=not no_proof,
            kv_heads=kv_heads,
            version=version,
            objective=aimed(objective, limits),
            matrix=matrices.load(matrix),
            fresh=fresh,
            progress=display.update,
        )
    show_report(report)
    click.echo(f"{out / 'report.html'} shows all of it", err=True)
    if as_json:
        print_json(report)
    if report.missing:
        raise GateFailedError(
            f"No variant was selected for the required target {', '.join(report.missing)}",
            "The table above gives the reasons",
        )
