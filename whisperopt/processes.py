"""Processes and their memory, asked of the system itself."""

import ctypes
import os
import platform
from pathlib import Path
from typing import Any

_SYNCHRONIZE = 0x00100000
_WAIT_TIMEOUT = 0x102
_ACCESS_DENIED = 5
_PROC = Path("/proc/self")
_CGROUP = Path("/sys/fs/cgroup")


def alive(process: int) -> bool:
    """Say whether a process with the id `process` runs on this machine, whoever owns it."""
    if process <= 0:  # such numbers mean groups of processes
        return False
    if platform.system() == "Windows":
        return _alive_on_windows(process)
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def peak_rss_bytes() -> int:
    """Return the most memory that this process has used."""
    status = _PROC / "status"
    if status.is_file():  # getrusage would also count the process that started this one
        lines = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    import psutil

    info = psutil.Process().memory_info()
    return int(getattr(info, "peak_wset", info.rss))


def available_bytes() -> int:
    """Return how much memory processes may still take, within a container's limit."""
    import psutil

    free = int(psutil.virtual_memory().available)
    limit, used = (_number(_CGROUP / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else max(0, min(free, limit - used))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("utf-8"))
    except (OSError, ValueError):  # another system, or no limit
        return None


def _alive_on_windows(process: int) -> bool:
    """`os.kill` would end the process here."""
    if process >= 2**32:
        return False
    kernel: Any = vars(ctypes)["WinDLL"]("kernel32", use_last_error=True)
    handle = kernel.OpenProcess(_SYNCHRONIZE, 0, process)
    if not handle:
        return bool(vars(ctypes)["get_last_error"]() == _ACCESS_DENIED)
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == _WAIT_TIMEOUT)
    finally:
        kernel.CloseHandle(handle)
