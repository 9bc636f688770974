"""`whisperopt doctor` and `whisperopt targets`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from whisperopt.backend import Backend, Probe
from whisperopt.cli import json_option, print_json
from whisperopt.matrix import Matrix


@click.command()
@click.option(
    "--record", type=click.Path(path_type=Path), help="Write this host's facts to a file."
)
@json_option
def doctor(*, record: Path | None, as_json: bool) -> None:
    """Show this host's hardware and runtimes, what is missing, and the command that fixes it."""
    from whisperopt import host as hosts
    from whisperopt.cli.render import show_rows

    host = hosts.detect()
    probes = _probes()
    gpus = ", ".join(gpu.name for gpu in host.gpus) or "none found"
    show_rows(
        "This host",
        ("fact", "value"),
        [
            ("system", f"{host.os} {host.arch}"),
            ("CPU", f"{host.cpu_vendor}, {host.isa}, {host.cores} usable cores"),
            ("GPU", gpus),
            ("runtimes", ", ".join(f"{n} {v}" for n, v in host.runtimes.items()) or "none"),
        ],
    )
    rows = [
        (name, probe.version or "–", "ready" if probe.ready else f"{probe.reason}. {probe.remedy}")
        for name, probe in probes.items()
    ]
    show_rows("Backends", ("backend", "version", "state"), rows)
    if record:
        record.write_bytes(msgspec.json.format(msgspec.json.encode(host), indent=1) + b"\n")
        click.echo(f"Recorded in {record}", err=True)
    if as_json:
        print_json({"host": host, "backends": probes})


@click.command()
@click.option("--matrix", type=click.Path(path_type=Path), help="Another targets.toml.")
@json_option
def targets(*, matrix: Path | None, as_json: bool) -> None:
    """Show every target, its recipes in ladder order, and whether this host could measure it."""
    from whisperopt import matrix as matrices
    from whisperopt.cli.render import show_rows

    rows = _targets(matrices.load(matrix))
    show_rows(
        "Targets, in order of preference on one device",
        ("target", "device", "backend", "recipes", "here"),
        [(r["name"], r["device"], r["backend"], ", ".join(r["recipes"]), r["here"]) for r in rows],
    )
    if as_json:
        print_json(rows)


def _probes() -> dict[str, Probe]:
    from whisperopt import registry
    from whisperopt.registry import Broken

    probes = {}
    for name in registry.names():
        backend = registry.get(name)
        if isinstance(backend, Broken):
            probes[name] = Probe(runtime=backend.distribution, reason=backend.reason)
        else:
            probes[name] = backend.probe()
    return probes


def _targets(matrix: Matrix) -> list[dict[str, Any]]:
    from whisperopt import registry

    probes = _probes()
    rows = []
    for target in matrix.targets:
        backend: Backend = registry.require_for(target)
        probe = probes[target.backend]
        recipes = [recipe.name for recipe in registry.ladder(target, backend)]
        rows.append(
            {
                "name": target.name,
                "device": target.device,
                "backend": target.backend,
                "recipes": recipes,
                "here": "can be measured" if probe.ready else f"emulated only: {probe.reason}",
            }
        )
    return rows
