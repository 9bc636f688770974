"""What a host has, what its backends say, what is wrong, why, and the one command that mends it."""

import os
import re
from collections.abc import Iterator, Mapping

import msgspec

from whisperopt import reasons, registry
from whisperopt.backend import Backend, Probe
from whisperopt.host import Gpu, Host, distributions
from whisperopt.host.adapters import HIDING
from whisperopt.matrix import Matrix, Target
from whisperopt.registry import Broken, RehearsalProbe
from whisperopt.runtime import provider

_DRIVERS = {"11": 450, "12": 525, "13": 580}
"""The oldest driver of NVIDIA for each major version of CUDA."""
_CUDA_RUNTIME = re.compile(r"nvidia-cuda-runtime\S*?[~=>]=(\d+)")
_DRIVER = re.compile(r"driver version is insufficient|no CUDA-capable device")
_GET_DRIVER = "Install NVIDIA's driver: https://nvidia.com/drivers"


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong or left unused on a host."""

    about: str
    reason: str
    remedy: str


class _Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that findings are made of."""

    host: Host
    matrix: Matrix
    backends: Mapping[str, Backend | Broken]
    probes: Mapping[str, Probe]
    live: bool
    """Whether the host is this machine, which tells more than a recording."""

    @property
    def usable(self) -> dict[str, Backend]:
        """The backends that could be imported."""
        found = self.backends.items()
        return {name: backend for name, backend in found if not isinstance(backend, Broken)}


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
    served = {target.backend for target in _served(host, matrix)}
    idle = {target.backend for target in matrix.targets} - served
    seen = {} if recorded else registry.probe_all(backends)
    probes = {
        name: _probe(host, backend, seen.get(name), idle=name in idle)
        for name, backend in backends.items()
    }
    if not recorded:
        host = msgspec.structs.replace(host, broken=_broken(host, backends, probes))
    scene = _Scene(
        host=host,
        matrix=matrix,
        backends=backends,
        probes=probes,
        live=not recorded,
    )
    found = _found(scene)
    return Diagnosis(host=host, recorded=recorded, backends=probes, findings=found)


def _probe(host: Host, backend: Backend | Broken, seen: Probe | None, *, idle: bool) -> Probe:
    """Return what was `seen` of a backend; without it, or better, what the facts alone say.

    What is not installed is said rather than how its absence shows. An `idle` backend serves no
    device of this host, so nobody has to install it.
    """
    if isinstance(backend, Broken):
        return backend.probe
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
    known = _known_remedy(host, probe.reason or "")
    return msgspec.structs.replace(probe, remedy=known or probe.remedy)


def _broken(
    host: Host, backends: Mapping[str, Backend | Broken], probes: Mapping[str, Probe]
) -> dict[str, str]:
    """Return what is installed and does not work; what is not installed is no secret."""
    return {
        name: str(probes[name].reason)
        for name, backend in backends.items()
        if not probes[name].ready
        and (isinstance(backend, Broken) or not host.missing(backend.runtime, backend.extra))
    }


def _found(scene: _Scene) -> tuple[Finding, ...]:
    """Return what is wrong, the most fundamental first; what one command mends is told once."""
    found: list[Finding] = []
    for question in (_of_wheels, _of_versions, _of_drivers, _of_backends, _of_unused_gpus):
        for finding in question(scene):
            if finding.remedy not in {other.remedy for other in found}:
                found.append(finding)
    if not found and not any(probe.ready for probe in scene.probes.values()):
        served = [target.backend for target in _served(scene.host, scene.matrix)]
        least = [scene.probes[name].remedy for name in served if name in scene.probes][-1:]
        found += [Finding("backends", "none works", remedy) for remedy in least]
    return tuple(found)


def _known_remedy(host: Host, reason: str) -> str:
    """Return what mends a fault that shows in `reason`, whatever backend has it."""
    if _DRIVER.search(reason):
        return _GET_DRIVER
    if missing := reasons.read(reason, "provider.library-missing"):
        return provider.library_remedy(str(missing.values["library"]), host.overwriting)
    return ""


def _served(host: Host, matrix: Matrix) -> list[Target]:
    """Return the targets whose device this host has, best device first."""
    order = {device: place for place, device in enumerate(matrix.device_order)}
    targets = [
        target
        for target in matrix.targets
        if host.os in target.os and host.arch in target.arch
        if target.device == "cpu" or _strong_enough(host.gpu_for(target.device), target)
    ]
    return sorted(targets, key=lambda target: order.get(target.device, len(order)))


def _of_wheels(scene: _Scene) -> Iterator[Finding]:
    """Several wheels of ONNX Runtime, of which an environment bears one."""
    wheels = scene.host.overwriting
    if len(wheels) > 1:
        yield Finding(
            "ONNX Runtime",
            f"{' and '.join(wheels)} overwrite each other's files: only the last installed works",
            f"pip uninstall -y {' '.join(wheels)} && pip install 'whisperopt[{_best_extra(scene)}]'",
        )


def _best_extra(scene: _Scene) -> str:
    """Return the extra of the best device that one of the installed wheels serves."""
    for target in _served(scene.host, scene.matrix):
        backend = scene.usable.get(target.backend)
        if backend is not None and backend.runtime in scene.host.overwriting:
            return backend.extra
    return "cpu"


def _of_versions(scene: _Scene) -> Iterator[Finding]:
    """Versions that whisperopt cannot use."""
    for backend in scene.usable.values():
        if not scene.host.missing(backend.runtime, backend.extra):
            for unfit in scene.host.unfit(backend.runtime, backend.extra):
                yield Finding(backend.runtime, unfit, f"pip install 'whisperopt[{backend.extra}]'")


def _of_drivers(scene: _Scene) -> Iterator[Finding]:
    """An NVIDIA GPU without a driver, behind an old one, or hidden."""
    gpu = scene.host.gpu_for("nvidia")
    if gpu is None:
        return
    if gpu.compute_capability is None:
        reason = "NVIDIA's driver does not answer: it is not installed, or another drives the GPU"
        yield Finding(gpu.name, reason, _GET_DRIVER)
        return
    if not scene.live:
        return
    visible = os.environ.get(HIDING)
    if visible is not None and visible.strip() in ("", "-1", "NoDevFiles"):
        yield Finding(gpu.name, f"{HIDING}={visible} hides it", f"unset {HIDING}")
    major = (gpu.driver or "").partition(".")[0]
    runtimes = {backend.runtime for backend in scene.usable.values()}
    for name in sorted(runtimes & scene.host.runtimes.keys()):
        cuda = _CUDA_RUNTIME.search(" ".join(distributions.requirements_of(name)))
        needed = _DRIVERS.get(cuda[1], 0) if cuda else 0
        if cuda and major.isdigit() and int(major) < needed:
            reason = (
                f"its driver {gpu.driver} is too old for the CUDA {cuda[1]} of {name}:"
                f" {needed} or newer is needed"
            )
            yield Finding(gpu.name, reason, _GET_DRIVER)


def _of_backends(scene: _Scene) -> Iterator[Finding]:
    """Backends that are installed and do not work, and what they work worse without."""
    for name, probe in scene.probes.items():
        if isinstance(scene.backends[name], Broken) or name in scene.host.broken:
            yield Finding(f"backend {name}", probe.reason or "does not work", probe.remedy)
        if fact := probe.facts.get(provider.CUDNN):
            remedy = provider.library_remedy(provider.CUDNN, scene.host.overwriting)
            yield Finding(provider.CUDNN, f"{fact}: {name} cannot convolve without", remedy)


def _of_unused_gpus(scene: _Scene) -> Iterator[Finding]:
    """GPUs that no backend serves although one could: nobody is silently on the CPU."""
    by_gpu: dict[str, list[Target]] = {}
    for target in _served(scene.host, scene.matrix):
        if target.backend in scene.probes and (gpu := scene.host.gpu_for(target.device)):
            by_gpu.setdefault(gpu.name, []).append(target)
    for name, targets in by_gpu.items():
        if any(scene.probes[target.backend].ready for target in targets):
            continue
        best = [target for target in targets if target.device == targets[0].device]
        names = " or ".join(target.name for target in targets)
        remedy = scene.probes[best[-1].backend].remedy  # the last one asks for least
        yield Finding(name, f"not used: no backend for {names} works here", remedy)


def _strong_enough(gpu: Gpu | None, target: Target) -> bool:
    wanted = target.requires.compute_capability
    if gpu is None or wanted is None:
        return gpu is not None
    return gpu.compute_capability is not None and distributions.fits(
        gpu.compute_capability, wanted
    )
