"""A host is detected, recorded, replayed and classified the same everywhere."""

import os
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import msgspec
import pytest

from whisperopt import host as hosts
from whisperopt.errors import BadInputError
from whisperopt.host import Gpu, Host

RECORDED = sorted((Path(__file__).parent / "hosts").glob("*.json"))
NVIDIA = Gpu(vendor="nvidia", name="A", compute_capability="8.9")
RADEON = Gpu(vendor="amd", name="B")


def host(
    *features: str, system: str = "linux", gpus: tuple[Gpu, ...] = (), **runtimes: str
) -> Host:
    return Host(
        os=system,
        arch="x86_64",
        cpu_vendor="amd",
        cpu_features=features,
        gpus=gpus,
        runtimes={name.replace("_", "-"): version for name, version in runtimes.items()},
    )


class FakeNvml:
    """A driver with as many devices as compute capabilities; None means that it fails."""

    class NVMLError(Exception):
        """What the real one raises."""

    def __init__(self, *capabilities: tuple[int, int] | None, driver: bool = True) -> None:
        self.capabilities, self.driver, self.open = capabilities, driver, 0

    def nvmlInit(self) -> None:  # noqa: N802  # NVML's name
        if not self.driver:
            raise self.NVMLError
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def __getattr__(self, name: str) -> Any:
        answers = {
            "nvmlDeviceGetCount": lambda: len(self.capabilities),
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetCudaComputeCapability": self._capability,
            "nvmlDeviceGetName": lambda index: f"GPU {index}",
            "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=8 * 2**30),
            "nvmlSystemGetDriverVersion": lambda: "580.10",
        }
        return answers[name]

    def _capability(self, index: int) -> tuple[int, int]:
        found = self.capabilities[index]
        if found is None:
            raise self.NVMLError
        return found


class FakeRegistry:
    """The display class of a Windows registry; a key without values is one that fails to open."""

    HKEY_LOCAL_MACHINE = object()

    class _Key:
        def __init__(self, values: dict[str, str]) -> None:
            self.values = values

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def __init__(self, adapters: dict[str, dict[str, str]]) -> None:
        self.adapters = adapters

    def OpenKey(self, _parent: object, path: str) -> _Key:  # noqa: N802  # winreg's name
        if path not in self.adapters:
            return self._Key({})
        if not self.adapters[path]:
            raise PermissionError
        return self._Key(self.adapters[path])

    def QueryInfoKey(self, _key: _Key) -> tuple[int, int, int]:  # noqa: N802
        return len(self.adapters), 0, 0

    def EnumKey(self, _key: _Key, index: int) -> str:  # noqa: N802
        return list(self.adapters)[index]

    def QueryValueEx(self, key: _Key, name: str) -> tuple[str, int]:  # noqa: N802
        if name not in key.values:
            raise FileNotFoundError
        return key.values[name], 1


def replace_module(monkeypatch: pytest.MonkeyPatch, name: str, module: object) -> None:
    monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize(
    ("features", "isa"),
    [
        (("avx512f", "avx512_vnni", "avx512_bf16", "amx_int8"), "amx"),
        (("avx512f", "avx512_vnni", "avx512_bf16"), "avx512-bf16"),
        (("avx2", "avx512f", "avx512_vnni"), "avx512-vnni"),
        (("avx2", "avx512f"), "avx512"),
        (("avx2", "avx_vnni"), "avx-vnni"),
        (("avx", "avx2", "fma"), "avx2"),
        (("asimd", "asimddp", "i8mm"), "neon-i8mm"),
        (("asimd", "asimddp"), "neon-dotprod"),
        (("asimd",), "neon"),
        (("sse4_2",), "baseline"),
        ((), "baseline"),
    ],
)
def test_strongest_instruction_set_counts(features: tuple[str, ...], isa: str) -> None:
    assert host(*features).isa == isa


@pytest.mark.parametrize(
    ("machine", "device", "runtime", "expected"),
    [
        (host("avx2", onnxruntime="1.32.0"), "cpu", "onnxruntime", "amd-avx2-onnxruntime-1.32.0"),
        (host("avx2"), "cpu", "openvino", "amd-avx2-openvino-none"),
        (
            host("avx2", gpus=(NVIDIA,), onnxruntime_gpu="1.32.0"),
            "nvidia",
            "onnxruntime-gpu",
            "nvidia-sm89-onnxruntime-gpu-1.32.0",
        ),
        (
            host("avx2", gpus=(NVIDIA,), onnxruntime_gpu="1.32.0"),
            "cpu",
            "onnxruntime",
            "amd-avx2-onnxruntime-1.32.0",
        ),
    ],
)
def test_host_class_names_what_decides_speed(
    machine: Host, device: Any, runtime: str, expected: str
) -> None:
    assert machine.host_class(device, runtime) == f"linux-x86_64-{expected}"


def test_host_class_of_another_gpu_names_its_vendor() -> None:
    machine = host(system="windows", gpus=(RADEON,), onnxruntime_directml="1.24.4")
    name = machine.host_class("d3d12", "onnxruntime-directml")
    assert name == "windows-x86_64-amd-gpu-onnxruntime-directml-1.24.4"


def test_each_device_is_served_by_its_own_gpu() -> None:
    windows = host(system="windows", gpus=(RADEON, NVIDIA))
    assert windows.gpu_for("nvidia") == NVIDIA
    assert windows.gpu_for("d3d12") == RADEON
    assert windows.gpu_for("cpu") is None
    assert host(gpus=(RADEON,)).gpu_for("d3d12") is None
    assert host(gpus=(RADEON,)).gpu_for("nvidia") is None


def test_gpu_wheels_contain_the_cpu_provider() -> None:
    assert host(onnxruntime_directml="1.24.4").runtime_version("onnxruntime") == "1.24.4"
    assert host(onnxruntime="1.32.0").runtime_version("onnxruntime-gpu") is None


@pytest.mark.parametrize("runtime", ["onnxruntime-gpu", "onnxruntime-directml", "tensorrt"])
def test_wheels_that_overwrite_each_other_spoil_what_only_one_of_them_has(runtime: str) -> None:
    both = host(onnxruntime="1.32.0", onnxruntime_gpu="1.32.0", openvino="2026.4")
    assert both.clash(runtime) == ("onnxruntime", "onnxruntime-gpu")
    assert both.clash("onnxruntime") == ()
    assert both.clash("openvino") == ()


def test_a_wheel_alone_clashes_with_what_needs_another_one() -> None:
    gpu = host(onnxruntime_gpu="1.32.0")
    assert gpu.clash("onnxruntime-gpu") == gpu.clash("tensorrt") == ()
    assert gpu.clash("onnxruntime-directml") == ("onnxruntime-gpu",)
    assert host().clash("onnxruntime-gpu") == ()


def test_tensorrt_also_needs_the_gpu_wheel_of_onnxruntime() -> None:
    assert host().missing("tensorrt") == ("tensorrt", "onnxruntime-gpu")
    assert host(tensorrt="10.15.1", onnxruntime="1.32.0").missing("tensorrt") == (
        "onnxruntime-gpu",
    )
    assert host(onnxruntime_gpu="1.32.0").missing("tensorrt") == ("tensorrt",)
    assert host(tensorrt="10.15.1", onnxruntime_gpu="1.32.0").missing("tensorrt") == ()
    assert host(onnxruntime_directml="1.24.4").missing("onnxruntime") == ()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_host_is_replayed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPEROPT_HOST", str(path))
    replayed = hosts.detect()
    assert replayed == hosts.read(path)
    assert msgspec.json.decode(msgspec.json.encode(replayed), type=Host) == replayed


def test_this_host_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHISPEROPT_HOST", raising=False)
    replace_module(monkeypatch, "pynvml", FakeNvml((9, 0)))
    found = hosts.detect()
    assert found.os in {"linux", "windows", "macos"}
    assert found.arch in {"x86_64", "arm64"}
    assert found.cores >= 1
    assert found.gpus[0].compute_capability == "9.0"
    assert found.runtimes.get("onnxruntime") == hosts.distribution_version("onnxruntime")


def test_missing_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"Cannot read the host file .*absent\.json"):
        hosts.read(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"os": "linux"}', b'{"gpu": []}', b"\xff"]
)
def test_damaged_recording_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "host.json"
    file.write_bytes(content)
    with pytest.raises(BadInputError, match="is not a recorded host") as caught:
        hosts.read(file)
    assert "doctor --record" in caught.value.remedy


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert hosts.usable_cores() == 3


def test_cores_without_an_affinity_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert hosts.usable_cores() == 1


def test_every_nvidia_gpu_is_found_and_the_driver_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = FakeNvml((8, 9), (12, 0))
    replace_module(monkeypatch, "pynvml", driver)
    first, second = hosts._nvidia_gpus()
    assert (first.name, first.compute_capability, first.memory_mb) == ("GPU 0", "8.9", 8192)
    assert (second.compute_capability, second.driver) == ("12.0", "580.10")
    assert driver.open == 0


def test_no_driver_is_no_nvidia_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_module(monkeypatch, "pynvml", FakeNvml((8, 9), driver=False))
    assert hosts._nvidia_gpus() == ()


def test_a_driver_that_fails_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeNvml((8, 9), None)
    replace_module(monkeypatch, "pynvml", driver)
    assert hosts._nvidia_gpus() == ()
    assert driver.open == 0


def test_windows_adapters_with_a_pci_vendor_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def adapter(device: str, name: str) -> dict[str, str]:
        return {"MatchingDeviceId": device, "DriverDesc": name, "DriverVersion": "32.0"}

    adapters = {
        "0000": adapter(r"PCI\ven_1002&dev_744c", "Radeon"),
        "0001": adapter(r"PCI\VEN_8086&DEV_46A6", "Iris"),
        "0002": adapter(r"PCI\VEN_10DE&DEV_2786", "GeForce, which NVML reports"),
        "0003": adapter(r"ROOT\BasicDisplay", "a software adapter"),
        "Properties": {},
        "Configuration": {"DriverDesc": "no adapter"},
    }
    monkeypatch.setattr("platform.system", lambda: "Windows")
    replace_module(monkeypatch, "winreg", FakeRegistry(adapters))
    assert hosts._other_windows_gpus() == (
        Gpu(vendor="amd", name="Radeon", driver="32.0"),
        Gpu(vendor="intel", name="Iris", driver="32.0"),
    )


def test_other_systems_have_no_windows_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert hosts._other_windows_gpus() == ()


def test_runtimes_are_found_under_any_of_their_distributions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = {"tensorrt-cu13": "10.15.1", "openvino": "2026.4.1"}

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError
        return installed[name]

    monkeypatch.setattr("importlib.metadata.version", version)
    assert hosts._installed_runtimes() == {"openvino": "2026.4.1", "tensorrt": "10.15.1"}


def test_tensorrt_of_the_system_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "distribution_version", lambda _: None)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: f"lib{name}.so.10")
    assert hosts._installed_runtimes() == {"tensorrt": "system"}
