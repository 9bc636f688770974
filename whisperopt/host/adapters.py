"""Finds graphics adapters: NVIDIA's through NVML, the others where the system lists them."""

import contextlib
import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from whisperopt.host import ordinals

HIDING = "CUDA_VISIBLE_DEVICES"
"""The variable that keeps NVIDIA's adapters from programs."""
DRM = Path("/sys/class/drm")
_PCI_IDS = (Path("/usr/share/misc/pci.ids"), Path("/usr/share/hwdata/pci.ids"))
_DISPLAY_CLASS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_MEMORY = "HardwareInformation.qwMemorySize"
_VENDORS = {"1002": "amd", "10de": "nvidia", "5143": "qualcomm", "8086": "intel"}
"""PCI vendors whose adapters compute; software and remote adapters have others, or none."""
_CAPABILITY = r"^[0-9]{1,3}\.[0-9]{1,3}\Z"
_SHARING = re.compile(
    r"Radeon(\(TM\))? (Graphics|(RX )?Vega (\d+ Graphics|\d \(|Series)|R\d Graphics|\d{3}M|80\d0S)"
    r"|Raphael|Phoenix|Hawk ?Point|Granite Ridge|Mendocino|Adreno|Apple"
)
"""Names of adapters that share the machine's memory; of Intel's most do."""
_INTELS_OWN = re.compile(
    r"\bArc\b.*\b(A\d{2,3}M?|B[5-9]\d{1,2})\b|\bDG[12]\b|Battlemage|Xe MAX|GPU (Flex|Max)"
)
Identity = Annotated[str, msgspec.Meta(pattern=r"^[\w.:-]{1,64}\Z")] | UnsetType


class Gpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One graphics adapter."""

    vendor: str
    name: str
    memory_mb: Annotated[int, msgspec.Meta(ge=0, le=2**30)] | None = None
    driver: str | None = None
    compute_capability: Annotated[str, msgspec.Meta(pattern=_CAPABILITY)] | None = None
    uuid: Identity = UNSET
    """What NVIDIA calls it, for as long as it exists."""
    luid: Identity = UNSET
    """What Windows calls it, until the machine starts anew."""
    pci: Identity = UNSET
    """Where it sits, if it has no other name: Linux tells that of those that are not NVIDIA's."""

    @property
    def identities(self) -> tuple[str, ...]:
        """What it can be called by, the most lasting first; nothing is an index that moves."""
        return tuple(name for name in (self.uuid, self.pci, self.luid) if name)

    @property
    def lasting(self) -> str:
        """What tells it from the others for more than a day; of twins one stands for both."""
        return self.uuid or self.pci or self.name

    @property
    def discrete(self) -> bool:
        """Whether it has memory of its own, told by its name: where in doubt, it has."""
        if self.vendor == "intel":
            return _INTELS_OWN.search(self.name) is not None
        return _SHARING.search(self.name) is None

    @property
    def strength(self) -> tuple[tuple[int, ...], int]:
        """What orders NVIDIA's adapters as CUDA does, fastest first."""
        numbers = (self.compute_capability or "").split(".")
        return tuple(int(n) for n in numbers if n.isdigit()), self.memory_mb or 0

    def __str__(self) -> str:
        """Return its name, and what it can be called by."""
        return f"{self.name} ({self.identities[0]})" if self.identities else self.name


def find() -> tuple[Gpu, ...]:
    """Return every adapter that could compute; those of NVIDIA first."""
    systems = {"Windows": windows_gpus, "Linux": linux_gpus, "Darwin": apple_gpus}
    nvidia, others = nvidia_gpus(), systems.get(platform.system(), tuple)()
    if len(nvidia) > 1 and HIDING in os.environ:
        visible = ordinals.cuda()
        nvidia = tuple(gpu for gpu in nvidia if gpu.uuid in visible) or nvidia
    # NVML tells more of the same; without its driver the system still lists the adapter.
    found = (*nvidia, *(gpu for gpu in others if gpu.vendor != "nvidia" or not nvidia))
    return tuple(_with_luids(found, ordinals.dxgi()))


def nvidia_gpus() -> tuple[Gpu, ...]:
    """Ask NVML; an adapter that fell off the bus is left out."""
    import pynvml as nvml

    with contextlib.suppress(nvml.NVMLError):  # no driver: no NVIDIA GPU that could be used
        nvml.nvmlInit()
        try:
            count = nvml.nvmlDeviceGetCount()
            return tuple(gpu for index in range(count) if (gpu := _nvidia_gpu(nvml, index)))
        finally:
            nvml.nvmlShutdown()
    return ()


def _nvidia_gpu(nvml: Any, index: int) -> Gpu | None:
    def ask(question: Callable[[], Any]) -> Any:
        """Some drivers do not answer everything, such as the memory of a GPU that shares it."""
        with contextlib.suppress(nvml.NVMLError):
            return question()

    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    except nvml.NVMLError:
        return None
    memory = ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total)
    return Gpu(
        vendor="nvidia",
        name=ask(lambda: nvml.nvmlDeviceGetName(handle)) or "NVIDIA GPU",
        memory_mb=memory and memory // 2**20,
        driver=ask(nvml.nvmlSystemGetDriverVersion),
        compute_capability=f"{major}.{minor}",
        uuid=ask(lambda: nvml.nvmlDeviceGetUUID(handle)) or UNSET,
    )


def windows_gpus() -> tuple[Gpu, ...]:
    """Read display adapters from the Windows registry."""
    winreg: Any = import_module("winreg")  # its names exist on Windows only

    gpus = []
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _DISPLAY_CLASS) as adapters:
        for index in range(winreg.QueryInfoKey(adapters)[0]):
            memory = None
            try:
                with winreg.OpenKey(adapters, winreg.EnumKey(adapters, index)) as adapter:
                    device = str(winreg.QueryValueEx(adapter, "MatchingDeviceId")[0]).upper()
                    name = str(winreg.QueryValueEx(adapter, "DriverDesc")[0])
                    driver = str(winreg.QueryValueEx(adapter, "DriverVersion")[0])
                    with contextlib.suppress(OSError):
                        memory = winreg.QueryValueEx(adapter, _MEMORY)[0]
            except OSError:  # a key that is no adapter, or that only the system may read
                continue
            vendor = next(
                (v for code, v in _VENDORS.items() if f"VEN_{code.upper()}" in device), ""
            )
            if vendor:
                memory_mb = memory // 2**20 if isinstance(memory, int) else None
                gpus.append(Gpu(vendor=vendor, name=name, driver=driver, memory_mb=memory_mb))
    return tuple(gpus)


def _with_luids(gpus: Sequence[Gpu], listed: Sequence[tuple[str, str]]) -> Iterator[Gpu]:
    """Add the LUIDs that Windows `listed` by name.

    Twins take theirs in any order, but for those with a UUID: which LUID is whose is not told.
    """
    left = [*listed]
    for gpu in gpus:
        own = [entry for entry in left if entry[0] == gpu.name]
        if len(own) == 1 or (own and not gpu.uuid):
            left.remove(own[0])
            yield msgspec.structs.replace(gpu, luid=own[0][1])
        else:
            yield gpu


def linux_gpus(folder: Path = DRM) -> tuple[Gpu, ...]:
    """Read the adapters that the kernel drives; connectors are called `card0-DP-1`."""
    try:
        cards = sorted(
            path for path in folder.iterdir() if path.name.removeprefix("card").isdigit()
        )
    except OSError:  # a container, or a kernel without graphics
        return ()
    return tuple(gpu for card in cards if (gpu := _linux_gpu(card / "device")))


def _linux_gpu(device: Path) -> Gpu | None:
    code = _text(device / "vendor").removeprefix("0x")
    if code not in _VENDORS:
        return None
    product = _text(device / "device").removeprefix("0x")
    memory = _text(device / "mem_info_vram_total")  # of AMD's driver
    facts = dict(line.partition("=")[::2] for line in _text(device / "uevent").splitlines())
    return Gpu(
        vendor=_VENDORS[code],
        name=_pci_name(code, product),
        memory_mb=int(memory) // 2**20 if memory.isdigit() else None,
        driver=facts.get("DRIVER"),
        pci=facts.get("PCI_SLOT_NAME") or UNSET,
    )


def _pci_name(vendor: str, product: str) -> str:
    """Look the adapter up in the system's list of PCI devices; its number where there is none."""
    for path in _PCI_IDS:
        ours = False
        for line in _text(path).splitlines():
            if line[:1] not in ("\t", "#", ""):
                ours = line.startswith(f"{vendor} ")
            elif ours and line.startswith(f"\t{product} "):
                return line.partition("  ")[2].strip()
    return f"{_VENDORS[vendor].upper()} GPU {vendor}:{product}"


def apple_gpus() -> tuple[Gpu, ...]:
    """Name the GPU that is part of every Apple chip."""
    if platform.machine() != "arm64":
        return ()
    name, memory = _sysctl("machdep.cpu.brand_string"), _sysctl("hw.memsize")
    memory_mb = int(memory) // 2**20 if memory.isdigit() else None
    return (Gpu(vendor="apple", name=name or "Apple GPU", memory_mb=memory_mb),)


def _sysctl(name: str) -> str:
    """Ask the kernel of macOS for a text."""
    command = ["/usr/sbin/sysctl", "-n", name]
    try:
        told = subprocess.run(command, capture_output=True, timeout=5, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.decode("utf-8", "replace").strip()


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").rstrip()
    except OSError:
        return ""
