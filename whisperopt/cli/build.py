"""`whisperopt build` and `whisperopt export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisperopt import matrix as matrices
from whisperopt.cli import PATH, aim_options, answer, budget_option, json_option, say
from whisperopt.cli.render import progress, show_report
from whisperopt.errors import GateFailedError
from whisperopt.matrix import Objective
from whisperopt.reasons import because

if TYPE_CHECKING:
    from whisperopt.exporter import Format, Precision


@click.command()
@click.argument("model", default="tiny.en")
@click.option("--target", default="all", help="all, or names separated by commas.")
@click.option("--out", required=True, type=PATH, help="Release directory.")
@click.option("--clips", type=PATH, help="Manifest of clips to prove on.")
@click.option("--no-proof", is_flag=True, help="Only check the structure; nothing is run.")
@click.option("--fresh", is_flag=True, help="Prove and time again what an earlier build has.")
@click.option("--kv-heads", type=int, help="Also try so many pooled key/value heads.")
@click.option("--version", help="Release version; default: digest of the content.")
@click.option("--matrix", type=PATH, help="Another targets.toml.")
@budget_option
@aim_options
@json_option
def build(
    *,
    out: Path,
    no_proof: bool,
    matrix: Path | None,
    objective: Objective | None,
    **asked: Any,
) -> None:
    """Build MODEL for every target, prove each variant, and select the best one for each target.

    MODEL is a path, a sample (tiny.en, base), or a model in the Hugging Face cache or hub.
    """
    from whisperopt.pipeline import build as builder

    with progress() as update:
        known = matrices.load(matrix).aiming_at(objective)
        report = builder.build(**asked, out=out, proof=not no_proof, matrix=known, progress=update)
    show_report(report, {target.name: target.objective for target in known.targets})
    say(f"{out / 'report.html'} shows all of it")
    answer(report)
    if report.missing:
        raise GateFailedError(because("cli.none-selected", ", ".join(report.missing)))


@click.command()
@click.argument("model")
@click.argument("out", type=PATH)
@click.option(
    "--to", required=True, type=click.Choice(["openvino-genai"]), help="What shall open it."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "int8"]),
    default="fp32",
    show_default=True,
    help="int8: 8-bit weights.",
)
@json_option
def export(*, model: str, out: Path, to: "Format", precision: "Precision") -> None:
    """Write MODEL into the empty or new folder OUT as another runtime's own pipeline opens it.

    MODEL is a path, a sample (tiny.en, base), or a model in the Hugging Face cache or hub.
    Nothing is proven: `whisperopt build` proves.
    """
    from whisperopt import exporter

    with progress() as update:
        exported = exporter.export(model, out, to=to, precision=precision, progress=update)
    size = exported.size_bytes / 1e6
    say(f"{exported.model} ({precision}, {size:.0f} MB) is in {exported.path}")
    answer(exported)
