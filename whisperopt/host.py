"""The facts of one machine, as a value that can be recorded and replayed."""

import ctypes.util
import os
import platform
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import msgspec

from whisperopt.errors import BadInputError

RUNTIMES = {
    "onnxruntime": ("onnxruntime",),
    "onnxruntime-gpu": ("onnxruntime-gpu",),
    "onnxruntime-directml": ("onnxruntime-directml",),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt-rtx": ("tensorrt-rtx",),
}
"""Runtimes and the distributions that bring them; the onnxruntime ones overwrite each other."""

_CONTAINED_IN = {"onnxruntime": ("onnxruntime-gpu", "onnxruntime-directml")}
"""Wheels that hold all of another one, here the CPU provider."""

_NEEDS = {"tensorrt": ("onnxruntime-gpu",)}
"""What a runtime needs besides itself: TensorRT is used as a provider of ONNX Runtime."""

_OVERWRITING = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml")

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
_ARCH = {"amd64": "x86_64", "x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_OS = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}


class Gpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One graphics adapter."""

    vendor: str
    name: str
    memory_mb: int | None = None
    driver: str | None = None
    compute_capability: str | None = None


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides which variant a machine can run and how fast."""

    os: str
    arch: str
    cpu_vendor: str
    cpu_features: tuple[str, ...] = ()
    cores: int = 1
    gpus: tuple[Gpu, ...] = ()
    runtimes: dict[str, str] = {}

    def gpu_for(self, device: str) -> Gpu | None:
        """Return the first adapter that serves `device`: `nvidia`, or any GPU for `d3d12`."""
        if device == "nvidia":
            return next((gpu for gpu in self.gpus if gpu.vendor == "nvidia"), None)
        if device == "d3d12" and self.os == "windows":
            return next(iter(self.gpus), None)
        return None

    def runtime_version(self, runtime: str) -> str | None:
        """Return the installed version of `runtime`, or of a wheel that contains it, or None."""
        names = (runtime, *_CONTAINED_IN.get(runtime, ()))
        return next((self.runtimes[name] for name in names if name in self.runtimes), None)

    def missing(self, runtime: str) -> tuple[str, ...]:
        """Return what must still be installed to use `runtime`: itself, and what it needs."""
        needed = (runtime, *_NEEDS.get(runtime, ()))
        return tuple(name for name in needed if self.runtime_version(name) is None)

    def clash(self, runtime: str) -> tuple[str, ...]:
        """Return the installed wheels that overwrite each other's files and so spoil `runtime`.

        All of them have to go before `runtime` and what it needs are installed (again). A runtime
        that every one of the wheels contains is spoilt by none.
        """
        needed = {runtime, *_NEEDS.get(runtime, ())}
        wheels = needed.intersection(_OVERWRITING).difference(_CONTAINED_IN)
        installed = tuple(name for name in _OVERWRITING if name in self.runtimes)
        return installed if wheels and set(installed) - wheels else ()

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
        version = self.runtime_version(runtime) or "none"
        return f"{self.os}-{self.arch}-{hardware}-{runtime}-{version}"


def detect() -> Host:
    """Return the facts of this machine, or the recorded ones that `WHISPEROPT_HOST` names."""
    recorded = os.environ.get("WHISPEROPT_HOST")
    return read(Path(recorded)) if recorded else probe()


def probe() -> Host:
    """Return the facts of this machine itself: what is measured here counts for nothing else."""
    vendor, features = _cpu()
    return Host(
        os=_OS.get(platform.system(), platform.system().lower()),
        arch=_ARCH.get(platform.machine().lower(), platform.machine().lower()),
        cpu_vendor=vendor,
        cpu_features=features,
        cores=usable_cores(),
        gpus=(*_nvidia_gpus(), *_other_windows_gpus()),
        runtimes=_installed_runtimes(),
    )


def read(path: Path) -> Host:
    """Read a recorded host; `whisperopt doctor --record FILE` writes one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Host)
    except OSError as error:
        raise BadInputError(f"Cannot read the host file {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise BadInputError(
            f"{path} is not a recorded host: {error}",
            "Record one with `whisperopt doctor --record FILE`",
        ) from None


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> tuple[str, tuple[str, ...]]:
    import archspec.cpu.detect

    info = archspec.cpu.detect.detected_info()
    vendor = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}.get(info.vendor, info.vendor.lower())
    return vendor, tuple(sorted(info.features))


def _nvidia_gpus() -> tuple[Gpu, ...]:
    import pynvml as nvml

    try:
        nvml.nvmlInit()
    except nvml.NVMLError:  # no driver: no NVIDIA GPU that could be used
        return ()
    try:
        gpus = []
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
            gpu = Gpu(
                vendor="nvidia",
                name=nvml.nvmlDeviceGetName(handle),
                memory_mb=nvml.nvmlDeviceGetMemoryInfo(handle).total // 2**20,
                driver=nvml.nvmlSystemGetDriverVersion(),
                compute_capability=f"{major}.{minor}",
            )
            gpus.append(gpu)
        return tuple(gpus)
    except nvml.NVMLError:
        return ()
    finally:
        nvml.nvmlShutdown()


_DISPLAY_CLASS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_PCI_VENDORS = {"VEN_1002": "amd", "VEN_8086": "intel", "VEN_5143": "qualcomm"}


def _other_windows_gpus() -> tuple[Gpu, ...]:
    """Read display adapters that are not NVIDIA's from the Windows registry.

    Software and remote adapters have no PCI vendor.
    """
    if platform.system() != "Windows":
        return ()
    winreg: Any = import_module("winreg")  # its names exist on Windows only

    gpus = []
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _DISPLAY_CLASS) as adapters:
        for index in range(winreg.QueryInfoKey(adapters)[0]):
            try:
                with winreg.OpenKey(adapters, winreg.EnumKey(adapters, index)) as adapter:
                    device = str(winreg.QueryValueEx(adapter, "MatchingDeviceId")[0]).upper()
                    name = str(winreg.QueryValueEx(adapter, "DriverDesc")[0])
                    driver = str(winreg.QueryValueEx(adapter, "DriverVersion")[0])
            except OSError:  # a key that is no adapter, or that only the system may read
                continue
            vendor = next((v for code, v in _PCI_VENDORS.items() if code in device), None)
            if vendor:
                gpus.append(Gpu(vendor=vendor, name=name, driver=driver))
    return tuple(gpus)


def _installed_runtimes() -> dict[str, str]:
    found = {}
    for runtime, distributions in RUNTIMES.items():
        versions = [version for name in distributions if (version := distribution_version(name))]
        if versions:
            found[runtime] = versions[0]
    if "tensorrt" not in found and ctypes.util.find_library("nvinfer"):
        found["tensorrt"] = "system"
    return found


def distribution_version(distribution: str) -> str | None:
    """Return the installed version of `distribution`, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
