"""`whisperopt export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from whisperopt.cli import json_option, print_json

if TYPE_CHECKING:
    from whisperopt.exporter import Format, Precision


@click.command()
@click.argument("model")
@click.argument("out", type=click.Path(path_type=Path))
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
def export(*, model: str, out: Path, to: "Format", precision: "Precision", as_json: bool) -> None:
    """Write MODEL into the empty or new folder OUT as another runtime's own pipeline opens it.

    MODEL is a path, a sample (tiny.en, base), or a model in the Hugging Face cache or hub.
    Nothing is proven: `whisperopt build` proves.
    """
    from whisperopt import exporter
    from whisperopt.cli.progress import progress

    with progress() as update:
        exported = exporter.export(model, out, to=to, precision=precision, progress=update)
    size = exported.size_bytes / 1e6
    click.echo(f"{exported.model} ({precision}, {size:.0f} MB) is in {exported.path}", err=True)
    if as_json:
        print_json(exported)
