"""What somebody asks for by --device is understood in one place, or is a reason."""

import pytest

from tests.selection import releases
from whisperopt.host import Gpu, Host, device
from whisperopt.reasons import Reason

LUID = "0x00000000_0x0000d3a4"
GEFORCE = Gpu(vendor="nvidia", name="RTX 4070", uuid="GPU-8a1b", luid=LUID)
TWIN = Gpu(vendor="nvidia", name="RTX 4070", uuid="GPU-9c2d")
BEST = Gpu(vendor="nvidia", name="B", compute_capability="9.0")
RADEON = Gpu(vendor="amd", name="Navi 31 [Radeon RX 7900 XTX]", pci="0000:03:00.0")
UHD = Gpu(vendor="intel", name="Intel(R) UHD Graphics 770")


def host(*gpus: Gpu, system: str = "windows") -> Host:
    return Host(os=system, arch="x86_64", cpu_vendor="intel", gpus=gpus)


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (None, (GEFORCE, RADEON)),
        ("gpu", (GEFORCE, RADEON)),
        ("GPU", (GEFORCE, RADEON)),
        ("cpu", ()),
        ("CPU", ()),
        ("gpu-8A1B", (GEFORCE,)),
        (LUID.upper(), (GEFORCE,)),
        ("0000:03:00.0", (RADEON,)),
    ],
)
def test_a_device_leaves_adapters(asked: str | None, left: tuple[Gpu, ...]) -> None:
    assert device.adapters(host(GEFORCE, RADEON), asked) == left


@pytest.mark.parametrize(
    "asked", ["GPU-8a1", "0", "gpu:0", "cuda", "", "RTX 4070", "nvidia", "\x1b"]
)
def test_no_index_and_no_name_stands_for_an_adapter(asked: str) -> None:
    reason = device.adapters(host(GEFORCE, RADEON), asked)
    assert isinstance(reason, Reason)
    assert reason.code == "device.unknown"
    assert "GPU-8a1b" in reason.values["known"]
    assert "0000:03:00.0" in reason.values["known"]


def test_gpu_where_there_is_none_is_another_reason() -> None:
    reason = device.adapters(host(), "gpu")
    assert isinstance(reason, Reason)
    assert reason.code == "device.no-gpu"
    assert device.adapters(host(), None) == device.adapters(host(), "cpu") == ()
    assert isinstance(device.adapters(host(), "GPU-8a1b"), Reason)


@pytest.mark.parametrize(
    ("asked", "served"),
    [(None, "cpu nvidia d3d12 gpu"), ("cpu", "cpu"), ("gpu", "nvidia d3d12 gpu")],
)
def test_a_device_is_served_by_what_runs_there(asked: str | None, served: str) -> None:
    kinds = ("cpu", "nvidia", "d3d12", "gpu")
    assert [kind for kind in kinds if device.serves(kind, asked)] == served.split()


@pytest.mark.parametrize(
    ("gpus", "kind", "nameable"),
    [
        ((GEFORCE,), "nvidia", True),
        ((Gpu(vendor="nvidia", name="old"),), "nvidia", True),
        ((GEFORCE, TWIN), "nvidia", True),
        ((Gpu(vendor="nvidia", name="old"), BEST), "nvidia", False),
        ((Gpu(vendor="nvidia", name="best", compute_capability="9.0"), GEFORCE), "nvidia", True),
        ((GEFORCE, UHD), "d3d12", True),
        ((TWIN, UHD), "d3d12", False),
        ((UHD,), "d3d12", True),
        ((GEFORCE, UHD), "gpu", True),
        ((UHD, GEFORCE), "gpu", True),
        ((GEFORCE, RADEON), "gpu", False),
        ((GEFORCE, RADEON, UHD), "gpu", False),
        ((UHD, GEFORCE, RADEON), "gpu", True),
    ],
)
def test_who_can_be_told_from_its_rivals(gpus: tuple[Gpu, ...], kind: str, nameable: bool) -> None:
    assert device.is_nameable(host(*gpus), kind, gpus[0]) is nameable


@pytest.mark.parametrize("name", releases.all_hosts())
def test_an_old_record_has_no_name_for_any_adapter_and_is_read_as_before(name: str) -> None:
    recorded = releases.host(name)
    assert not recorded.memory_mb
    assert not any(gpu.identities for gpu in recorded.gpus)
    assert device.adapters(recorded, None) == recorded.gpus
