"""The facts of one machine, as a value that can be recorded and replayed."""

import functools
import os
import platform
import re
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from whisperopt import documents
from whisperopt.errors import BadInputError
from whisperopt.host import adapters, distributions, memory
from whisperopt.host.adapters import Gpu
from whisperopt.host.distributions import Need
from whisperopt.host.distributions import version as distribution_version
from whisperopt.reasons import because

__all__ = ["Gpu", "Host", "detect", "distribution_version", "probe", "read", "usable_cores"]

RECORDED = "WHISPEROPT_HOST"
"""The variable that names the file of a recorded host to replay."""

_ISA_LEVELS = (
    ("amx", {"amx_int8"}),
    ("avx512-bf16", {"avx512_bf16"}),
    ("avx512-vnni", {"avx512_vnni"}),
    ("avx512", {"avx512f"}),
    ("avx-vnni", {"avx_vnni"}),
    ("avx2", {"avx2"}),
    ("neon-i8mm", {"i8mm"}),
    ("neon-dotprod", {"asimddp"}),
    ("neon", {"asimd"}),
)
_UNIT = "|".join((r"sm\d{2,3}", "gpu", *(level for level, _ in _ISA_LEVELS), "baseline"))
_CLASS = re.compile(rf"(?P<os>[^-]+)-(?P<arch>[^-]+)-(?P<vendor>.+?)-(?P<unit>{_UNIT})-.+")
_ARCH = {"amd64": "x86_64", "x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_OS = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}


class Hardware(msgspec.Struct, frozen=True):
    """What a host class says of a device, whatever runs there."""

    os: str
    arch: str
    vendor: str
    unit: str
    """The instruction set of a CPU, `sm` with the compute capability of a GPU, or `gpu`."""

    def __str__(self) -> str:
        """Return the beginning of its host classes."""
        return f"{self.os}-{self.arch}-{self.vendor}-{self.unit}"


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides which variant a machine can run and how fast."""

    os: str
    arch: str
    cpu_vendor: str
    cpu_features: tuple[str, ...] = ()
    cores: Annotated[int, msgspec.Meta(ge=1, le=2**16)] = 1
    memory_mb: Annotated[int, msgspec.Meta(ge=0, le=2**40)] | UnsetType = UNSET
    """What programs can have of it, within a container's limit; unset: unknown."""
    gpus: tuple[Gpu, ...] = ()
    runtimes: dict[str, str] = {}
    """Installed distributions that bring runtimes or backends, and their versions."""
    broken: dict[str, str] = {}
    """Backends or runtimes that are installed and do not work here, and why; only recorded hosts
    know, because it takes seconds to find out."""

    def gpus_for(self, device: str) -> tuple[Gpu, ...]:
        """Return the adapters that serve `device`, best first: `nvidia`, `d3d12`, or any `gpu`.

        NVIDIA's are in the order of CUDA. Of others those with memory of their own go first.
        """
        if device == "nvidia":
            own = [gpu for gpu in self.gpus if gpu.vendor == "nvidia"]
            return tuple(sorted(own, key=lambda gpu: gpu.strength, reverse=True))
        if device == "gpu" or (device == "d3d12" and self.os == "windows"):
            return tuple(
                sorted(self.gpus, key=lambda g: (g.discrete, g.memory_mb or 0), reverse=True)
            )
        return ()

    def gpu_for(self, device: str) -> Gpu | None:
        """Return the best adapter that serves `device`."""
        return next(iter(self.gpus_for(device)), None)

    @property
    def published(self) -> "Host":
        """What documents say of it: neither what names one machine of many, nor its memory."""
        unset = dict.fromkeys(("uuid", "luid", "pci"), UNSET)
        gpus = tuple(msgspec.structs.replace(gpu, **unset) for gpu in self.gpus)
        return msgspec.structs.replace(self, gpus=gpus, memory_mb=UNSET)

    def memory_of(self, device: str) -> int | None:
        """Return the bytes of memory of the adapter that serves `device`, if it has and tells any."""
        gpu = self.gpu_for(device)
        return gpu.memory_mb * 2**20 if gpu and gpu.memory_mb else None

    def serving(self, runtime: str) -> tuple[str, str] | None:
        """Return the installed distribution that is or contains `runtime`, and its version."""
        order = sorted(self.runtimes.items(), key=lambda item: (item[0] != runtime, item[0]))
        return next((item for item in order if distributions.contains(item[0], runtime)), None)

    def runtime_version(self, runtime: str) -> str | None:
        """Return the installed version of `runtime`, or of a wheel that contains it, or None."""
        found = self.serving(runtime)
        return found[1] if found else None

    def way(self, runtime: str, extra: str) -> tuple[Need, ...]:
        """Return the set of distributions for `runtime` that this host lacks least of."""
        known = distributions.ways(runtime, extra, self.os)
        return min(known, key=lambda way: sum(self.runtime_version(n.name) is None for n in way))

    def missing(self, runtime: str, extra: str = "") -> tuple[str, ...]:
        """Return what must still be installed to use `runtime`: itself, and what it needs."""
        needed = self.way(runtime, extra)
        return tuple(need.name for need in needed if self.runtime_version(need.name) is None)

    def unfit(self, runtime: str, extra: str) -> tuple[str, ...]:
        """Return what is installed for `runtime` in versions that whisperopt cannot use."""
        return tuple(
            f"{name} {version} is installed, {need.versions} is needed"
            for need in self.way(runtime, extra)
            for name, version in self.runtimes.items()
            if distributions.plain(name) == distributions.plain(need.name)
            if not distributions.fits(version, need.versions)
        )

    def clash(self, runtime: str, extra: str = "") -> tuple[str, ...]:
        """Return the installed wheels that overwrite each other's files and so spoil `runtime`.

        All of them have to go before `runtime` and what it needs are installed (again). A runtime
        that every one of the wheels contains is spoilt by none.
        """
        needed = {need.name for need in self.way(runtime, extra)}
        wheels = {n for n in needed if distributions.overwrites(n)} - {"onnxruntime"}
        installed = self.overwriting
        return installed if wheels and set(installed) - wheels else ()

    def install(self, runtime: str, extra: str) -> str:
        """Return the command that installs `runtime` and what it needs, without leaving a clash."""
        clash = self.clash(runtime, extra)
        uninstall = f"pip uninstall -y {' '.join(clash)} && " if clash else ""
        return f"{uninstall}pip install 'whisperopt[{extra}]'"

    @property
    def overwriting(self) -> tuple[str, ...]:
        """The installed wheels of ONNX Runtime: of these an environment bears one."""
        return tuple(sorted(name for name in self.runtimes if distributions.overwrites(name)))

    @property
    def isa(self) -> str:
        """The strongest vector instruction set that matters for matrix products."""
        features = set(self.cpu_features)
        return next((level for level, needs in _ISA_LEVELS if needs <= features), "baseline")

    def host_class(self, device: str, runtime: str) -> str:
        """Name the part of this host that decides speed and numerics on `device` with `runtime`."""
        gpu = self.gpu_for(device)
        if gpu is None:
            hardware = f"{self.cpu_vendor}-{self.isa}"
        elif gpu.compute_capability:
            hardware = f"nvidia-sm{gpu.compute_capability.replace('.', '')}"
        else:
            hardware = f"{gpu.vendor}-gpu"
        return f"{self.os}-{self.arch}-{hardware}-{self._runner(runtime)}"

    def _runner(self, runtime: str) -> str:
        """Name what runs `runtime`: itself, or a plug-in for ONNX Runtime that stands in for it."""
        if version := self.runtime_version(runtime):
            return f"{runtime}-{version}"
        plugins = [name for name in sorted(self.runtimes) if f"-{runtime}-" in f"{name}-"]
        return f"{plugins[0]}-{self.runtimes[plugins[0]]}" if plugins else f"{runtime}-none"


def hardware(host_class: str) -> Hardware | None:
    """Return the hardware that a host class names; None: it names none that is known here."""
    found = _CLASS.fullmatch(host_class)
    return (
        Hardware(**{name: found[name] for name in Hardware.__struct_fields__}) if found else None
    )


def detect() -> Host:
    """Return the facts of this machine, or the recorded ones that `WHISPEROPT_HOST` names."""
    recorded = os.environ.get(RECORDED)
    return read(Path(recorded)) if recorded else probe()


def probe() -> Host:
    """Return the facts of this machine itself: what is measured here counts for nothing else.

    Hardware and distributions are looked at once in a process.
    """
    vendor, features = _cpu()
    return Host(
        os=_OS.get(platform.system(), platform.system().lower()),
        arch=_ARCH.get(platform.machine().lower(), platform.machine().lower()),
        cpu_vendor=vendor,
        cpu_features=features,
        cores=usable_cores(),
        memory_mb=_memory_mb(),
        gpus=_gpus(),
        runtimes=distributions.installed(),
    )


def read(path: Path) -> Host:
    """Read a recorded host; `whisperopt doctor --record FILE` writes one."""
    try:
        return documents.read(path, Host, documents.HOST)
    except OSError as error:
        why = error.strerror or ""
        raise BadInputError(because("host.unreadable", path, why=why)) from None
    except documents.UnfitError as error:
        raise BadInputError(because("host.no-recording", path, why=str(error))) from None


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def forget() -> None:
    """Find out anew which GPUs are here and what is installed: a process looks only once."""
    for remembered in (_gpus, _memory_mb, *distributions.REMEMBERED):
        remembered.cache_clear()


@functools.cache
def _gpus() -> tuple[Gpu, ...]:
    return adapters.find()


@functools.cache
def _memory_mb() -> int | UnsetType:
    size = memory.memory_bytes()
    return size // 2**20 if size else UNSET


@functools.cache
def _cpu() -> tuple[str, tuple[str, ...]]:
    import archspec.cpu.detect

    info = archspec.cpu.detect.detected_info()
    vendor = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}.get(info.vendor, info.vendor.lower())
    return vendor, tuple(sorted(info.features))
