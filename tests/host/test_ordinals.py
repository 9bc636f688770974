"""CUDA's devices are read from its driver, those of Windows through COM's tables of methods."""

import ctypes
from typing import Any

import pytest

from whisperopt.host import ordinals

GPUS = (("AMD Radeon RX 7800 XT", 0, 0xD3A4), ("Intel(R) UHD Graphics 770", -1, 0x10))
NAMES = ("AMD Radeon RX 7800 XT", "Intel(R) UHD Graphics 770")
NOT_FOUND = -0x7785FFFE  # DXGI_ERROR_NOT_FOUND


class FakeDxgi:
    """`dxgi.dll` with `gpus`; every method counts who was let go."""

    def __init__(self, *gpus: tuple[str, int, int], status: int = 0) -> None:
        self.gpus, self.status, self.released, self._kept = gpus, status, 0, []
        self._factory = self._object({2: self._release, 12: self._adapter})
        self._adapters = [
            self._object({2: self._release, 10: lambda _, told, gpu=gpu: self._tell(told, gpu)})
            for gpu in gpus
        ]

    def CreateDXGIFactory1(self, interface: bytes, out: Any) -> int:  # noqa: N802  # its name
        assert len(interface) == 16
        out._obj.value = self._factory
        return self.status

    def _object(self, methods: dict[int, Any]) -> int:
        """Return the address of an object: that of the address of its table."""
        kinds = {2: (), 10: (ctypes.c_void_p,), 12: (ctypes.c_uint32, ctypes.c_void_p)}
        table = (ctypes.c_void_p * 16)()
        for place, method in methods.items():
            kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, *kinds[place])
            self._kept.append(kind(method))
            table[place] = ctypes.cast(self._kept[-1], ctypes.c_void_p).value
        made = ctypes.pointer(ctypes.c_void_p(ctypes.addressof(table)))
        self._kept += [table, made]
        return ctypes.cast(made, ctypes.c_void_p).value or 0

    def _release(self, _this: int) -> int:
        self.released += 1
        return 0

    def _adapter(self, _this: int, place: int, out: int) -> int:
        if place == len(self.gpus):
            return NOT_FOUND
        ctypes.c_void_p.from_address(out).value = self._adapters[place]
        return 0

    @staticmethod
    def _tell(told: int, gpu: tuple[str, int, int]) -> int:
        """Write DXGI_ADAPTER_DESC1 as the header of Windows lays it out on 64 bits."""
        name, high, low = gpu
        text = name.encode("utf-16-le").ljust(256, b"\0")
        numbers = (0x10DE).to_bytes(4, "little") * 4 + (2**33).to_bytes(8, "little") * 3
        luid = low.to_bytes(4, "little") + high.to_bytes(4, "little", signed=True)
        ctypes.memmove(told, text + numbers + luid + bytes(4), 308)
        return 0


def test_adapters_come_in_the_order_of_dxgi_with_their_luids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeDxgi(*GPUS)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: fake)
    luids = ("0x00000000_0x0000d3a4", "0xffffffff_0x00000010")
    assert ordinals.dxgi() == tuple(zip(NAMES, luids, strict=True))
    assert fake.released == len(GPUS) + 1


def test_who_does_not_answer_lists_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDxgi(*GPUS, status=-1)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: fake)
    assert ordinals.dxgi() == ()

    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert ordinals.dxgi() == ()
    assert ordinals.cuda() == ()


class FakeCuda:
    """`libcuda.so.1` with as many devices; the call that `fails` does."""

    def __init__(self, count: int, fails: str = "") -> None:
        self.count, self.fails = count, fails

    def __getattr__(self, name: str) -> Any:
        answer = {
            "cuInit": lambda flags: 0,
            "cuDeviceGetCount": lambda out: self._write(out, self.count),
            "cuDeviceGet": self._write,
            "cuDeviceGetUuid": self._uuid,
        }[name]
        return (lambda *_: 1) if name == self.fails else answer

    @staticmethod
    def _write(out: Any, value: int) -> int:
        out._obj.value = value
        return 0

    @staticmethod
    def _uuid(told: Any, device: Any) -> int:
        told.raw = bytes(range(15)) + bytes([device.value])
        return 0


def test_devices_come_in_the_order_of_cuda_with_their_uuids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: FakeCuda(2))
    first = "GPU-00010203-0405-0607-0809-0a0b0c0d0e00"
    assert ordinals.cuda() == (first, f"{first[:-1]}1")


@pytest.mark.parametrize("fails", ["cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetUuid"])
def test_a_driver_that_fails_counts_nothing(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: FakeCuda(2, fails))
    assert ordinals.cuda() == ()
