"""What is wrong with a host or left unused, why, and the one command that mends it."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from whisperopt import reasons
from whisperopt.backend import Backend, Probe
from whisperopt.host import Gpu, Host, distributions
from whisperopt.matrix import Matrix, Target
from whisperopt.registry import Broken
from whisperopt.runtime import libraries

_DRIVERS = {"11": 450, "12": 525, "13": 580}
"""The oldest driver of NVIDIA for each major version of CUDA."""
_CUDA_RUNTIME = re.compile(r"nvidia-cuda-runtime\S*?[~=>]=(\d+)")
_DRIVER = re.compile(r"driver version is insufficient|no CUDA-capable device")
_GET_DRIVER = "Install NVIDIA's driver: https://nvidia.com/drivers"

HIDING = "CUDA_VISIBLE_DEVICES"
"""The variable that hides NVIDIA's GPUs from CUDA."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong or left unused on a host."""

    about: str
    reason: str
    remedy: str


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that findings are made of."""

    host: Host
    matrix: Matrix
    backends: Mapping[str, Backend | Broken]
    probes: Mapping[str, Probe]
    cuda: Mapping[str, str] = {}
    """The major version of CUDA that installed runtimes are built with."""
    visible: str | None = None
    """What `CUDA_VISIBLE_DEVICES` says."""

    @property
    def usable(self) -> dict[str, Backend]:
        """The backends that could be imported."""
        found = self.backends.items()
        return {name: one for name, one in found if not isinstance(one, Broken)}


def find(scene: Scene) -> tuple[Finding, ...]:
    """Return what is wrong, the most fundamental first; what one command mends is told once."""
    found: list[Finding] = []
    for question in (_of_wheels, _of_versions, _of_drivers, _of_backends, _of_unused_gpus):
        for finding in question(scene):
            if finding.remedy not in {one.remedy for one in found}:
                found.append(finding)
    if not found and not any(probe.ready for probe in scene.probes.values()):
        least = [one for one in served(scene.host, scene.matrix) if one.backend in scene.probes]
        found += [
            Finding("backends", "none works", scene.probes[one.backend].remedy)
            for one in least[-1:]
        ]
    return tuple(found)


def known_remedy(host: Host, reason: str) -> str:
    """Return what mends a fault that shows in `reason`, whatever backend has it."""
    if _DRIVER.search(reason):
        return _GET_DRIVER
    missing = reasons.read(reason, "provider.library-missing")
    return libraries.remedy(str(missing.values["library"]), host.overwriting) if missing else ""


def cuda_of(backends: Mapping[str, Backend | Broken]) -> dict[str, str]:
    """Return the major version of CUDA that installed runtimes are built with."""
    found = {}
    for runtime in {one.runtime for one in backends.values() if not isinstance(one, Broken)}:
        lines = " ".join(distributions.requirements_of(runtime))
        if match := _CUDA_RUNTIME.search(lines):
            found[runtime] = match[1]
    return found


def served(host: Host, matrix: Matrix) -> list[Target]:
    """Return the targets whose device this host has, best device first."""
    order = {device: place for place, device in enumerate(matrix.device_order)}
    targets = [
        target
        for target in matrix.targets
        if host.os in target.os and host.arch in target.arch
        if target.device == "cpu" or _strong_enough(host.gpu_for(target.device), target)
    ]
    return sorted(targets, key=lambda target: order.get(target.device, len(order)))


def _of_wheels(scene: Scene) -> Iterator[Finding]:
    """Several wheels of ONNX Runtime, of which an environment bears one."""
    wheels = scene.host.overwriting
    if len(wheels) > 1:
        yield Finding(
            "ONNX Runtime",
            f"{' and '.join(wheels)} overwrite each other's files: only the last installed works",
            f"pip uninstall -y {' '.join(wheels)} && pip install 'whisperopt[{_best_extra(scene)}]'",
        )


def _best_extra(scene: Scene) -> str:
    """Return the extra of the best device that one of the installed wheels serves."""
    usable = scene.usable
    fitting = [
        usable[target.backend]
        for target in served(scene.host, scene.matrix)
        if target.backend in usable
    ]
    known = [one for one in fitting if one.runtime in scene.host.overwriting]
    return known[0].extra if known else "cpu"


def _of_versions(scene: Scene) -> Iterator[Finding]:
    """Versions that whisperopt cannot use."""
    for one in scene.usable.values():
        if not scene.host.missing(one.runtime, one.extra):
            for unfit in scene.host.unfit(one.runtime, one.extra):
                yield Finding(one.runtime, unfit, f"pip install 'whisperopt[{one.extra}]'")


def _of_drivers(scene: Scene) -> Iterator[Finding]:
    """An NVIDIA GPU without a driver, behind an old one, or hidden."""
    gpu = scene.host.gpu_for("nvidia")
    if gpu is None:
        return
    if gpu.compute_capability is None:
        reason = "NVIDIA's driver does not answer: it is not installed, or another drives the GPU"
        yield Finding(gpu.name, reason, _GET_DRIVER)
        return
    if scene.visible is not None and scene.visible.strip() in ("", "-1", "NoDevFiles"):
        yield Finding(gpu.name, f"{HIDING}={scene.visible} hides it", f"unset {HIDING}")
    major = (gpu.driver or "").partition(".")[0]
    for name, cuda in sorted(scene.cuda.items()):
        needed = _DRIVERS.get(cuda, 0)
        if name in scene.host.runtimes and major.isdigit() and int(major) < needed:
            reason = (
                f"its driver {gpu.driver} is too old for the CUDA {cuda} of {name}:"
                f" {needed} or newer is needed"
            )
            yield Finding(gpu.name, reason, _GET_DRIVER)


def _of_backends(scene: Scene) -> Iterator[Finding]:
    """Backends that are installed and do not work, and what they work worse without."""
    for name, probe in scene.probes.items():
        if isinstance(scene.backends[name], Broken) or name in scene.host.broken:
            yield Finding(f"backend {name}", probe.reason or "does not work", probe.remedy)
        if fact := probe.facts.get(libraries.CUDNN):
            remedy = libraries.remedy(libraries.CUDNN, scene.host.overwriting)
            yield Finding(libraries.CUDNN, f"{fact}: {name} cannot convolve without", remedy)


def _of_unused_gpus(scene: Scene) -> Iterator[Finding]:
    """GPUs that no backend serves although one could: nobody is silently on the CPU."""
    by_gpu: dict[str, list[Target]] = {}
    for target in served(scene.host, scene.matrix):
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
