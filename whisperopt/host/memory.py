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
    limit, used = (_group(name) for name in ("max", "current"))
    free = _virtual("available")
    if free is None:
        return _UNKNOWN
    return free if limit is None or used is None else max(0, min(free, limit - used))


def memory_bytes() -> int | None:
    """Return the memory of this machine, or of a container that has less; None: nobody tells."""
    known = [size for size in (_virtual("total"), _group("max")) if size]
    return min(known, default=None)


def _virtual(name: str) -> int | None:
    import psutil

    try:
        return int(getattr(psutil.virtual_memory(), name))
    except (OSError, RuntimeError, AttributeError):  # such as a sandbox that hides /proc
        return None


def _group(name: str) -> int | None:
    """Return what a container's memory is said to be; None: another system, or no limit."""
    try:
        return int((_CGROUP / f"memory.{name}").read_text())
    except (OSError, ValueError):
        return None
