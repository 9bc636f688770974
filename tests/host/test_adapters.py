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
    assert (first.uuid, second.uuid) == ("GPU-00000000", "GPU-00000001")
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
    def adapter(device: str, name: str, **more: object) -> dict[str, object]:
        told = {"MatchingDeviceId": device, "DriverDesc": name, "DriverVersion": "32.0"}
        return told | {f"HardwareInformation.{key}": value for key, value in more.items()}

    listed = {
        "0000": adapter(r"PCI\ven_1002&dev_744c", "Radeon", qwMemorySize=16 * 2**30),
        "0001": adapter(r"PCI\VEN_8086&DEV_46A6", "Iris", qwMemorySize=b"what?"),
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
        Gpu(vendor="amd", name="Radeon", driver="32.0", memory_mb=16384),
        Gpu(vendor="intel", name="Iris", driver="32.0"),
        Gpu(vendor="nvidia", name="GeForce", driver="32.0"),
    )


def test_linux_adapters_of_vendors_that_compute_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    amd = {"vendor": "0x1002", "device": "0x744c", "mem_info_vram_total": str(24 * 2**30)}
    uevent = "DRIVER=amdgpu\nPCI_ID=1002:744C\nPCI_SLOT_NAME=0000:03:00.0"
    card(tmp_path, "card1", uevent=uevent, **amd)
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
        Gpu(
            vendor="amd",
            name="Navi 31 [RX 7900]",
            memory_mb=24576,
            driver="amdgpu",
            pci="0000:03:00.0",
        ),
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
    told = {"machdep.cpu.brand_string": "Apple M3 Pro", "hw.memsize": str(18 * 2**30)}
    monkeypatch.setattr(adapters, "_sysctl", told.__getitem__)
    assert adapters.find() == (Gpu(vendor="apple", name="Apple M3 Pro", memory_mb=18432),)
    monkeypatch.setattr(adapters, "_sysctl", lambda _: "")
    assert adapters.find() == (Gpu(vendor="apple", name="Apple GPU"),)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert adapters.find() == ()


def test_other_systems_have_only_what_nvml_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_module(monkeypatch, "pynvml", FakeNvml((8, 9)))
    monkeypatch.setattr("platform.system", lambda: "FreeBSD")
    assert [gpu.name for gpu in adapters.find()] == ["GPU 0"]


LUIDS = ("0x00000000_0x0000000a", "0x00000000_0x0000000b", "0x00000000_0x0000000c")


def test_windows_adapters_get_their_luids_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia = Gpu(vendor="nvidia", name="RTX 4070", uuid="GPU-1")
    twins = (Gpu(vendor="amd", name="RX 7600"), Gpu(vendor="amd", name="RX 7600"))
    monkeypatch.setattr("platform.system", lambda: "Windows")
    monkeypatch.setattr(adapters, "nvidia_gpus", lambda: (nvidia,))
    monkeypatch.setattr(adapters, "windows_gpus", lambda: twins)
    listed = zip(("RX 7600", "RTX 4070", "RX 7600"), LUIDS, strict=True)
    monkeypatch.setattr(adapters.ordinals, "dxgi", lambda known=tuple(listed): known)
    assert [gpu.luid for gpu in adapters.find()] == [LUIDS[1], LUIDS[0], LUIDS[2]]


def test_which_luid_belongs_to_which_of_two_uuids_is_not_guessed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twins = tuple(Gpu(vendor="nvidia", name="RTX 4070", uuid=f"GPU-{i}") for i in "12")
    monkeypatch.setattr(adapters, "nvidia_gpus", lambda: twins)
    listed = tuple(zip(("RTX 4070",) * 2, LUIDS, strict=False))
    monkeypatch.setattr(adapters.ordinals, "dxgi", lambda: listed)
    monkeypatch.setattr("platform.system", lambda: "FreeBSD")
    assert adapters.find() == twins


DISCRETE = {
    "nvidia": ("NVIDIA GeForce GTX 1650", "Tesla V100-SXM2-16GB"),
    "amd": (
        *("AMD Radeon RX 7800 XT", "AMD Radeon RX 6700M", "Navi 31 [Radeon RX 7900 XT/7900M]"),
        *("Vega 10 XL/XT [Radeon RX Vega 56/64]", "AMD Radeon VII", "AMD Radeon Pro W6800"),
        *("AMD Radeon R7 370 Series", "AMD Instinct MI210", "AMD GPU 1002:744c"),
    ),
    "intel": (
        *("Intel(R) Arc(TM) A770 Graphics", "Intel(R) Arc(TM) B580 Graphics", "DG2 [Arc A750]"),
        *("Intel(R) Arc(TM) Pro B60 Graphics", "Battlemage G21 [Intel Graphics]"),
        *("Intel(R) Iris(R) Xe MAX Graphics", "Data Center GPU Flex 170"),
    ),
}
SHARING = {
    "amd": (
        *("AMD Radeon(TM) Graphics", "AMD Radeon(TM) Vega 8 Graphics", "AMD Radeon 780M Graphics"),
        *("AMD Radeon(TM) RX Vega 10 Graphics", "AMD Radeon(TM) 8060S Graphics", "Raphael"),
        *("Renoir [Radeon RX Vega 6 (Ryzen 4000/5000 Mobile Series)]", "Phoenix1"),
        *("Cezanne [Radeon Vega Series / Radeon Vega Mobile Series]", "Rembrandt [Radeon 680M]"),
    ),
    "intel": (
        *(
            "Intel(R) UHD Graphics 770",
            "Intel(R) Iris(R) Xe Graphics",
            "Intel(R) Arc(TM) Graphics",
        ),
        *("Intel(R) Arc(TM) 140V GPU (16GB)", "Intel(R) Arc(TM) B390 GPU", "Arc 130T/140T"),
    ),
    "apple": ("Apple M4",),
    "qualcomm": ("Microsoft SQ3 Adreno 8CX Gen 3",),
}


@pytest.mark.parametrize(("discrete", "known"), [(True, DISCRETE), (False, SHARING)])
def test_adapters_with_memory_of_their_own_are_told_by_their_names(
    discrete: bool, known: dict[str, tuple[str, ...]]
) -> None:
    wrong = [
        name
        for vendor, names in known.items()
        for name in names
        if Gpu(vendor=vendor, name=name).discrete is not discrete
    ]
    assert wrong == []


def test_what_is_hidden_from_programs_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    two = tuple(Gpu(vendor="nvidia", name="A", uuid=f"GPU-{i}") for i in "12")
    monkeypatch.setattr(adapters, "nvidia_gpus", lambda: two)
    monkeypatch.setattr("platform.system", lambda: "FreeBSD")
    monkeypatch.setattr(adapters.ordinals, "cuda", lambda: ("GPU-2",))
    monkeypatch.delenv(adapters.HIDING, raising=False)
    assert adapters.find() == two
    monkeypatch.setenv(adapters.HIDING, "1")
    assert adapters.find() == two[1:]
    monkeypatch.setattr(adapters.ordinals, "cuda", lambda: ())
    assert adapters.find() == two
