"""`whisperopt doctor` and `whisperopt targets`."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from whisperopt import host as hosts
from whisperopt import matrix as matrices
from whisperopt import registry
from whisperopt.backend import Probe
from whisperopt.cli import PATH, answer, json_option, say
from whisperopt.cli.render import show_rows
from whisperopt.host import Gpu, Host
from whisperopt.inspection.diagnosis import Diagnosis, diagnose
from whisperopt.matrix import Matrix, Target

_NOTHING = "–"
_TOLD = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "sve", "i8mm", "bf16")
"""Features that matter for matrix products; `--json` has all."""


@click.command()
@click.option("--proofs", is_flag=True, help="Also list the proofs without a device.")
@click.option("--record", type=PATH, help="Write this host's facts to a file.")
@json_option
def doctor(*, proofs: bool, record: Path | None) -> None:
    """Show this host's hardware and runtimes, what is wrong, and the command that mends it."""
    found = _diagnosis(matrices.load())
    if proofs:
        found = msgspec.structs.replace(found, proofs=registry.all_rehearsals())
    _show(found, proofs=proofs)
    if record:
        facts = msgspec.json.format(msgspec.json.encode(found.host), indent=1)
        record.write_bytes(facts + b"\n")
        say(f"Recorded in {record}")
    answer(found)


@click.command()
@click.option("--matrix", type=PATH, help="Another targets.toml.")
@json_option
def targets(*, matrix: Path | None) -> None:
    """Show every target, its recipes in ladder order, and whether this host could measure it."""
    known = matrices.load(matrix)
    found = _diagnosis(known)
    facts = [_facts(target, found) for target in known.targets]
    columns = ("target", "device", "backend", "here, and the ladder of recipes")
    rows = [
        (f["name"], f["device"], f["backend"], f"{f['here']}\n{', '.join(f['recipes'])}")
        for f in facts
    ]
    show_rows("Targets, in order of preference on one device", columns, rows)
    answer(facts)


def _diagnosis(matrix: Matrix) -> Diagnosis:
    return diagnose(hosts.detect(), matrix, recorded=os.environ.get(hosts.RECORDED))


def _facts(target: Target, found: Diagnosis) -> dict[str, Any]:
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


def _here(target: Target, found: Diagnosis) -> str:
    probe = found.backends[target.backend]
    if not probe.ready:
        return f"emulated only: {probe.reason}"
    if target.device != "cpu" and found.host.gpu_for(target.device) is None:
        return f"emulated only: this host has no device for {target.device}"
    return "can be measured"


def _show(found: Diagnosis, *, proofs: bool) -> None:
    """Print everything that was found; a recorded host is called one."""
    if found.recorded:
        say(f"This is the recorded host {found.recorded}, not this machine: nothing was probed.")
    title = f"Recorded host {found.recorded}" if found.recorded else "This host"
    show_rows(title, ("fact", "value"), list(_host_facts(found.host)))
    backends = [
        (name, probe.runtime, probe.version or _NOTHING, _state(probe, found.recorded))
        for name, probe in found.backends.items()
    ]
    show_rows("Backends", ("backend", "runtime", "version", "state"), backends)
    say("What to mend:" if found.findings else "Nothing to mend.")
    for finding in found.findings:  # no table: a command is there to be copied
        say(f"- {finding.about}: {finding.reason}")
        say(f"    {finding.remedy}")
    if proofs:
        shows = "what it shows, and whether this machine can do it"
        rows = [
            (p.backend, p.name or _NOTHING, p.tier, f"{p.summary}\n{_possible(p.probe)}")
            for p in found.proofs
        ]
        title = "Proofs by a real runtime without its device"
        show_rows(title, ("backend", "proof", "worth", shows), rows)


def _host_facts(host: Host) -> Iterator[tuple[str, str]]:
    yield "system", f"{host.os} {host.arch}"
    yield "CPU", f"{host.cpu_vendor}, {host.isa}, {host.cores} usable cores"
    if host.memory_mb:
        yield "memory", f"{host.memory_mb} MB"
    told = [name for name in host.cpu_features if name.startswith(_TOLD)]
    yield "CPU features", " ".join(told) or _NOTHING
    for gpu in map(_gpu, host.gpus) if host.gpus else ["none found"]:
        yield "GPU", gpu
    for runtime in map(" ".join, host.runtimes.items()) if host.runtimes else ["no runtime"]:
        yield "installed", runtime


def _gpu(gpu: Gpu) -> str:
    facts = (
        gpu.name,
        f"{gpu.memory_mb} MB" if gpu.memory_mb else "",
        f"driver {gpu.driver}" if gpu.driver else "no driver that answers",
        f"compute capability {gpu.compute_capability}" if gpu.compute_capability else "",
        *gpu.identities,
    )
    return ", ".join(fact for fact in facts if fact)


def _state(probe: Probe, recorded: str | None) -> str:
    if not probe.ready:
        return f"{probe.reason}. {probe.remedy}".rstrip()
    facts = ", ".join(f"{name}: {fact}" for name, fact in probe.facts.items())
    ready = "installed, and no fault was recorded" if recorded else "ready"
    return f"{ready}; {facts}" if facts else ready


def _possible(probe: Probe) -> str:
    if probe.ready:
        return f"can be done: {probe.runtime} {probe.version or ''}".rstrip()
    return f"cannot be tried: {probe.reason}. {probe.remedy}".rstrip()
