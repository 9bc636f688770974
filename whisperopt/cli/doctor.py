"""`whisperopt doctor` and `whisperopt targets`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from whisperopt.cli import json_option, print_json
from whisperopt.matrix import Target

if TYPE_CHECKING:
    from whisperopt.inspection.diagnosis import Diagnosis


@click.command()
@click.option("--proofs", is_flag=True, help="Also list the proofs without a device.")
@click.option(
    "--record", type=click.Path(path_type=Path), help="Write this host's facts to a file."
)
@json_option
def doctor(*, proofs: bool, record: Path | None, as_json: bool) -> None:
    """Show this host's hardware and runtimes, what is wrong, and the command that mends it."""
    from whisperopt import host as hosts
    from whisperopt import matrix, registry
    from whisperopt.cli import render_host
    from whisperopt.inspection import diagnosis

    recorded = os.environ.get(hosts.RECORDED)
    found = diagnosis.diagnose(hosts.detect(), matrix.load(), recorded=recorded)
    if proofs:
        found = msgspec.structs.replace(found, proofs=registry.all_rehearsals())
    render_host.show(found, proofs=proofs)
    if record:
        facts = msgspec.json.format(msgspec.json.encode(found.host), indent=1)
        record.write_bytes(facts + b"\n")
        click.echo(f"Recorded in {record}", err=True)
    if as_json:
        print_json(found)


@click.command()
@click.option("--matrix", type=click.Path(path_type=Path), help="Another targets.toml.")
@json_option
def targets(*, matrix: Path | None, as_json: bool) -> None:
    """Show every target, its recipes in ladder order, and whether this host could measure it."""
    from whisperopt import host as hosts
    from whisperopt import matrix as matrices
    from whisperopt.cli.render import show_rows
    from whisperopt.inspection import diagnosis

    known = matrices.load(matrix)
    found = diagnosis.diagnose(hosts.detect(), known, recorded=os.environ.get(hosts.RECORDED))
    facts = [_facts(target, found) for target in known.targets]
    columns = ("target", "device", "backend", "here, and the ladder of recipes")
    rows = [
        (f["name"], f["device"], f["backend"], f"{f['here']}\n{', '.join(f['recipes'])}")
        for f in facts
    ]
    show_rows("Targets, in order of preference on one device", columns, rows)
    if as_json:
        print_json(facts)


def _facts(target: Target, found: "Diagnosis") -> dict[str, Any]:
    from whisperopt import registry

    if target.backend not in found.backends:
        registry.require_for(target)
    backend = registry.get(target.backend)
    ladder = () if isinstance(backend, registry.Broken) else registry.ladder(target, backend)
    return {
        "name": target.name,
        "device": target.device,
        "backend": target.backend,
        "recipes": [recipe.name for recipe in ladder],
        "here": _here(target, found),
    }


def _here(target: Target, found: "Diagnosis") -> str:
    probe = found.backends[target.backend]
    if not probe.ready:
        return f"emulated only: {probe.reason}"
    if target.device != "cpu" and found.host.gpu_for(target.device) is None:
        return f"emulated only: this host has no device for {target.device}"
    return "can be measured"
