"""Graphics adapters are found where each system lists them; what does not answer is left out."""

import sys
from pathlib import Path

import pytest

from tests.drivers import FakeNvml, FakeRegistry
from whisperopt.host import adapters
from whisperopt.host.adapters import Gpu


def replace_module(monkeypatch: pytest.MonkeyPatch, name: str, module: object) -> None:
    monkeypatch.setitem(sys.modules, name, module)


def card(folder: Path, name: str, **files: str) -> None:
    """Write one adapter as the kernel shows it."""
    device = folder / name / "device"
    device.mkdir(parents=True)
    for file, content in files.items():
        (device / file).write_text(f"{content}\n")


def test_every_nvidia_gpu_is_found_and_the_driver_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = FakeNvml((8, 9), (12, 0))
    replace_module(monkeypatch, "pynvml", driver)
    first, second = adapters.nvidia_gpus()
    assert (first.name, first.compute_capability, first.memory_mb) == ("GPU 0", "8.9", 8192)
    assert (second.compute_capability, second.driver) == ("12.0", "580.10")
    assert driver.open == 0


def test_no_driver_is_no_nvidia_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_module(monkeypatch, "pynvml", FakeNvml((8, 9), driver=False))
    assert adapters.nvidia_gpus() == ()


def test_a_gpu_that_fell_off_the_bus_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeNvml(None, (8, 9))
    replace_module(monkeypatch, "pynvml", driver)
    (left,) = adapters.nvidia_gpus()
    assert left.name == "GPU 1"
    assert driver.open == 0


def test_a_gpu_that_shares_its_memory_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_module(monkeypatch, "pynvml", FakeNvml((12, 1), silent="nvmlDeviceGetMemoryInfo"))
    (gpu,) = adapters.nvidia_gpus()
    assert (gpu.compute_capability, gpu.memory_mb) == ("12.1", None)


def test_a_driver_that_cannot_count_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeNvml((8, 9), silent="nvmlDeviceGetCount")
    replace_module(monkeypatch, "pynvml", driver)
    assert adapters.nvidia_gpus() == ()
    assert driver.open == 0


def test_windows_adapters_with_a_pci_vendor_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def adapter(device: str, name: str) -> dict[str, str]:
        return {"MatchingDeviceId": device, "DriverDesc": name, "DriverVersion": "32.0"}

    listed = {
        "0000": adapter(r"PCI\ven_1002&dev_744c", "Radeon"),
        "0001": adapter(r"PCI\VEN_8086&DEV_46A6", "Iris"),
        "0002": adapter(r"PCI\VEN_10DE&DEV_2786", "GeForce"),
        "0003": adapter(r"ROOT\BasicDisplay", "a software adapter"),
        "Properties": {},
        "Configuration": {"DriverDesc": "no adapter"},
    }
    monkeypatch.setattr("platform.system", lambda: "Windows")
    replace_module(monkeypatch, "winreg", FakeRegistry(listed))
    replace_module(monkeypatch, "pynvml", FakeNvml((8, 9)))
    assert [gpu.name for gpu in adapters.find()] == ["GPU 0", "Radeon", "Iris"]
    replace_module(monkeypatch, "pynvml", FakeNvml(driver=False))
    assert adapters.find() == (
        Gpu(vendor="amd", name="Radeon", driver="32.0"),
        Gpu(vendor="intel", name="Iris", driver="32.0"),
        Gpu(vendor="nvidia", name="GeForce", driver="32.0"),
    )


def test_linux_adapters_of_vendors_that_compute_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    amd = {"vendor": "0x1002", "device": "0x744c", "mem_info_vram_total": str(24 * 2**30)}
    card(tmp_path, "card1", uevent="DRIVER=amdgpu\nPCI_ID=1002:744C", **amd)
    card(tmp_path, "card0", vendor="0x8086", device="0x56a0", uevent="DRIVER=xe")
    card(tmp_path, "card2", vendor="0x1a03", device="0x2000")  # a server's management chip
    card(tmp_path, "card1-DP-1", vendor="0x1002", device="0x744c")
    card(tmp_path, "renderD128", vendor="0x1002", device="0x744c")
    (tmp_path / "version").write_text("drm 1.1.0")
    names = tmp_path / "pci.ids"
    names.write_text("# list\n1002  AMD\n\t744c  Navi 31 [RX 7900]\n8086  Intel\n\t744c  wrong\n")
    monkeypatch.setattr(adapters, "_PCI_IDS", (tmp_path / "absent", names))
    assert adapters.linux_gpus(tmp_path) == (
        Gpu(vendor="intel", name="INTEL GPU 8086:56a0", driver="xe"),
        Gpu(vendor="amd", name="Navi 31 [RX 7900]", memory_mb=24576, driver="amdgpu"),
    )


def test_a_linux_without_graphics_has_no_adapters(tmp_path: Path) -> None:
    assert adapters.linux_gpus(tmp_path / "absent") == ()
    card(tmp_path, "card0")
    assert adapters.linux_gpus(tmp_path) == ()


def test_an_nvidia_gpu_without_its_driver_is_still_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card(tmp_path, "card0", vendor="0x10de", device="0x2484", uevent="DRIVER=nouveau")
    seen = adapters.linux_gpus(tmp_path)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr(adapters, "linux_gpus", lambda: seen)
    replace_module(monkeypatch, "pynvml", FakeNvml(driver=False))
    assert [(gpu.vendor, gpu.driver) for gpu in adapters.find()] == [("nvidia", "nouveau")]
    replace_module(monkeypatch, "pynvml", FakeNvml((8, 6)))
    assert [gpu.name for gpu in adapters.find()] == ["GPU 0"]


def test_every_apple_chip_has_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_module(monkeypatch, "pynvml", FakeNvml(driver=False))
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    for told, name in (("Apple M3 Pro", "Apple M3 Pro"), ("", "Apple GPU")):
        monkeypatch.setattr(adapters, "_sysctl", lambda _, told=told: told)
        assert adapters.find() == (Gpu(vendor="apple", name=name),)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert adapters.find() == ()


def test_other_systems_have_only_what_nvml_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_module(monkeypatch, "pynvml", FakeNvml((8, 9)))
    monkeypatch.setattr("platform.system", lambda: "FreeBSD")
    assert [gpu.name for gpu in adapters.find()] == ["GPU 0"]
