"""`whisperopt inspect`."""

import click

from whisperopt.cli import json_option, print_json


@click.command()
@click.argument("source")
@json_option
def inspect(*, source: str, as_json: bool) -> None:
    """Show attention, caches, operators, and what each target or runtime makes of them.

    SOURCE is a checkpoint as `build` takes it, a release, an artifact, or an ONNX file. Nothing
    is run, and weights are not read.
    """
    from whisperopt import inspection
    from whisperopt.cli.render_facts import show_facts

    facts = inspection.inspect(source)
    show_facts(facts)
    if as_json:
        print_json(facts)
