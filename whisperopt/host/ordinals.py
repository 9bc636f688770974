"""In which order runtimes count adapters: CUDA by itself, DirectML as Windows lists them."""

import ctypes
import os
import uuid
from typing import Any

_FACTORY = bytes.fromhex("78ae0a776ff2ba4da829253c83d1b387")
"""IID_IDXGIFactory1."""
_RELEASE, _ENUM_ADAPTERS, _GET_DESCRIPTION = 2, 12, 10
"""Places in the tables of methods of IUnknown, IDXGIFactory1 and IDXGIAdapter1."""


class _Description(ctypes.Structure):
    """DXGI_ADAPTER_DESC1."""

    _fields_ = (
        ("name", ctypes.c_uint16 * 128),
        ("ids", ctypes.c_uint32 * 4),
        ("memory", ctypes.c_size_t * 3),
        ("luid_low", ctypes.c_uint32),
        ("luid_high", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
    )


def cuda() -> tuple[str, ...]:
    """Return the UUID of every device that CUDA gives this process; nothing without a driver."""
    try:
        driver: Any = ctypes.CDLL("nvcuda" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return ()
    count, device, told = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(16)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    found = []
    for place in range(count.value):
        if driver.cuDeviceGet(ctypes.byref(device), place) or driver.cuDeviceGetUuid(told, device):
            return ()
        found.append(f"GPU-{uuid.UUID(bytes=told.raw)}")
    return tuple(found)


def dxgi() -> tuple[tuple[str, str], ...]:
    """Return name and LUID of every adapter; nothing where DXGI does not answer.

    A LUID names an adapter until the machine starts anew.
    """
    try:
        library: Any = ctypes.CDLL("dxgi")  # on x64 and ARM64 there is one calling convention
    except OSError:
        return ()
    factory = ctypes.c_void_p()
    found: list[tuple[str, str]] = []
    if library.CreateDXGIFactory1(_FACTORY, ctypes.byref(factory)):
        return ()
    adapter = ctypes.c_void_p()
    while _call(factory, _ENUM_ADAPTERS, ctypes.c_uint32(len(found)), ctypes.byref(adapter)) == 0:
        told = _Description()
        _call(adapter, _GET_DESCRIPTION, ctypes.byref(told))
        _call(adapter, _RELEASE)
        name = bytes(told.name).decode("utf-16-le", "replace").partition("\0")[0]
        found.append((name, f"0x{told.luid_high & 0xFFFFFFFF:08x}_0x{told.luid_low:08x}"))
    _call(factory, _RELEASE)
    return tuple(found)


def _call(this: ctypes.c_void_p, place: int, *values: Any) -> int:
    """Call a method of a COM object; 0 is success."""
    table = ctypes.cast(this, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p)))[0]
    method = ctypes.CFUNCTYPE(ctypes.c_int32)(table[place] or 0)
    return int(method(this, *values))
