"""Whether a process still runs, asked of the system itself."""

import ctypes
import os
import platform
from typing import Any

_SYNCHRONIZE = 0x00100000
_WAIT_TIMEOUT = 0x102
_ACCESS_DENIED = 5


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
