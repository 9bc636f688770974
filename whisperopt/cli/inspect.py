"""`whisperopt inspect`."""

import click

from whisperopt.cli import json_option, print_json
from whisperopt.errors import GateFailedError


@click.command()
@click.argument("source")
@click.option(
    "--rehearse",
    is_flag=True,
    help="Also hand a release's or artifact's variants to their real runtimes.",
)
@json_option
def inspect(*, source: str, rehearse: bool, as_json: bool) -> None:
    """Show attention, caches, operators, and what each target or runtime makes of them.

    SOURCE is a checkpoint as `build` takes it, a release, an artifact, or an ONNX file. Nothing
    is run, and weights are not read, unless it is rehearsed: `whisperopt doctor --proofs` says
    which runtimes can be asked here without their device.
    """
    from whisperopt import inspection
    from whisperopt.cli.render_facts import show_facts
    from whisperopt.reasons import because

    facts = inspection.inspect(source, rehearse=rehearse)
    show_facts(facts)
    if as_json:
        print_json(facts)
    if failed := inspection.failed_rehearsals(facts):
        raise GateFailedError(because("inspection.refused", ", ".join(failed)))
