"""Diagnoses a host: asks its backends, or reads off a recorded host what they said."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from whisperopt import registry
from whisperopt.backend import Backend, Probe
from whisperopt.host import Host
from whisperopt.inspection.diagnosis import findings
from whisperopt.inspection.diagnosis.findings import Finding, Scene
from whisperopt.matrix import Matrix
from whisperopt.registry import Broken, RehearsalProbe


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """A host, what its backends say, and what could be better."""

    host: Host
    recorded: str | None
    """The file that the host was read from; None if it is this machine."""
    backends: dict[str, Probe]
    findings: tuple[Finding, ...]
    proofs: tuple[RehearsalProbe, ...] = ()


def diagnose(host: Host, matrix: Matrix, *, recorded: str | None = None) -> Diagnosis:
    """Probe every backend, or read off a recorded host how they were, and say what is wrong."""
    backends = registry.get_all()
    served = {target.backend for target in findings.served(host, matrix)}
    idle = {target.backend for target in matrix.targets} - served
    seen = {} if recorded else registry.probe_all(backends)
    probes = {
        name: _probe(host, one, seen.get(name), idle=name in idle)
        for name, one in backends.items()
    }
    if not recorded:
        host = msgspec.structs.replace(host, broken=_broken(host, backends, probes))
    scene = Scene(
        host=host,
        matrix=matrix,
        backends=backends,
        probes=probes,
        cuda={} if recorded else findings.cuda_of(backends),
        visible=None if recorded else os.environ.get(findings.HIDING),
    )
    found = findings.find(scene)
    return Diagnosis(host=host, recorded=recorded, backends=probes, findings=found)


def every_proof() -> tuple[RehearsalProbe, ...]:
    """Return the rehearsals of every backend, each backend asked in a process of its own."""
    names = registry.names()
    with ThreadPoolExecutor(len(names) or 1) as pool:
        return tuple(proof for found in pool.map(registry.rehearsals, names) for proof in found)


def _probe(host: Host, backend: Backend | Broken, seen: Probe | None, *, idle: bool) -> Probe:
    """Return what was `seen` of a backend; without it, or better, what the facts alone say.

    What is not installed is said rather than how its absence shows. An `idle` backend serves no
    device of this host, so nobody has to install it.
    """
    if isinstance(backend, Broken):
        return Probe(runtime=backend.distribution, reason=backend.reason, remedy=backend.remedy)
    if seen and seen.ready:
        return seen
    runtime, extra = backend.runtime, backend.extra
    version, remedy = host.runtime_version(runtime), host.install(runtime, extra)
    if missing := host.missing(runtime, extra):
        reason = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
        if idle:
            reason, remedy = f"{reason}, and this host has no device for it", ""
    elif clash := host.clash(runtime, extra):
        reason = f"{' and '.join(clash)} overwrite each other's files"
    elif unfit := host.unfit(runtime, extra):
        reason = "; ".join(unfit)
    else:
        return _at_work(host, backend, seen)
    return Probe(runtime=runtime, version=version, reason=reason, remedy=remedy)


def _at_work(host: Host, backend: Backend, seen: Probe | None) -> Probe:
    """Return how a backend fares that has all it needs; without `seen`, as was recorded."""
    reason = host.broken.get(backend.name) or host.broken.get(backend.runtime)
    version = host.runtime_version(backend.runtime)
    remedy = host.install(backend.runtime, backend.extra) if reason else ""
    probe = seen or Probe(runtime=backend.runtime, version=version, reason=reason, remedy=remedy)
    known = findings.known_remedy(host, probe.reason or "")
    return msgspec.structs.replace(probe, remedy=known or probe.remedy)


def _broken(
    host: Host, backends: Mapping[str, Backend | Broken], probes: Mapping[str, Probe]
) -> dict[str, str]:
    """Return what is installed and does not work; what is not installed is no secret."""
    return {
        name: str(probes[name].reason)
        for name, one in backends.items()
        if not probes[name].ready
        and (isinstance(one, Broken) or not host.missing(one.runtime, one.extra))
    }
