"""The tables of a diagnosis, on stderr: a host, its backends, what is wrong, and the proofs."""

from collections.abc import Iterator

import click

from whisperopt.backend import Probe
from whisperopt.cli.render import show_rows
from whisperopt.host import Host
from whisperopt.host.adapters import Gpu
from whisperopt.inspection.diagnosis import Diagnosis

_NOTHING = "–"
_TOLD = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "sve", "i8mm", "bf16")
"""Features that matter for matrix products; `--json` has all."""


def show(found: Diagnosis, *, proofs: bool) -> None:
    """Print everything that was found; a recorded host is called one."""
    if found.recorded:
        click.echo(
            f"This is the recorded host {found.recorded}, not this machine: nothing was probed.",
            err=True,
        )
    title = f"Recorded host {found.recorded}" if found.recorded else "This host"
    show_rows(title, ("fact", "value"), list(_facts(found.host)))
    backends = [
        (name, probe.runtime, probe.version or _NOTHING, _state(probe, found.recorded))
        for name, probe in found.backends.items()
    ]
    show_rows("Backends", ("backend", "runtime", "version", "state"), backends)
    click.echo("What to mend:" if found.findings else "Nothing to mend.", err=True)
    for finding in found.findings:  # no table: a command is there to be copied
        click.echo(f"- {finding.about}: {finding.reason}\n    {finding.remedy}", err=True)
    if proofs:
        shows = "what it shows, and whether this machine can do it"
        rows = [
            (p.backend, p.name or _NOTHING, p.tier, f"{p.summary}\n{_possible(p.probe)}")
            for p in found.proofs
        ]
        title = "Proofs by a real runtime without its device"
        show_rows(title, ("backend", "proof", "worth", shows), rows)


def _facts(host: Host) -> Iterator[tuple[str, str]]:
    yield "system", f"{host.os} {host.arch}"
    yield "CPU", f"{host.cpu_vendor}, {host.isa}, {host.cores} usable cores"
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
