"""How much memory this process took, and how much there still is."""

from pathlib import Path

_UNKNOWN = 4_000_000_000
"""Bytes that are taken to be free where nobody can tell."""
_PROC = Path("/proc/self")
_CGROUP = Path("/sys/fs/cgroup")


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

    try:
        free = int(psutil.virtual_memory().available)
    except (OSError, RuntimeError, AttributeError):  # such as a sandbox that hides /proc
        return _UNKNOWN
    try:
        limit, used = (int((_CGROUP / f"memory.{n}").read_text()) for n in ("max", "current"))
    except (OSError, ValueError):  # another system, or no limit
        return free
    return max(0, min(free, limit - used))
