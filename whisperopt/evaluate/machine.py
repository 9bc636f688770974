"""What the machine does while a proof runs: clocks, load and energy, as far as it tells."""

import os
from pathlib import Path

from whisperopt.evaluate.evidence import Machine

_ZONES = "class/powercap/intel-rapl:*"
_PACKAGE = "package-"
"""What the zones of whole processors are called; other zones lie within them or around them."""
_GOVERNOR = "devices/system/cpu/cpu0/cpufreq/scaling_governor"


class MachineWatch:
    """Looks at the machine when it is made, and again when asked what happened since."""

    def __init__(self, system: Path = Path("/sys")) -> None:
        """Begin to watch; `system` is where Linux tells about hardware."""
        self._system = system
        self._clock, self._load, self._energy = _clock(), _load(), self._joules()

    def machine(self) -> Machine:
        """Return what happened since the watch began."""
        energy = self._joules()
        drawn = None if energy is None or self._energy is None else energy - self._energy
        return Machine(
            clock_mhz=_both(self._clock, _clock()),
            load=_both(self._load, _load()),
            governor=_text(self._system / _GOVERNOR),
            joules=drawn if drawn is not None and drawn >= 0 else None,  # counters wrap around
        )

    def _joules(self) -> float | None:
        """Add up the packages' counters, which only some users may read."""
        counts = [
            _text(zone / "energy_uj")
            for zone in sorted(self._system.glob(_ZONES))
            if (_text(zone / "name") or "").startswith(_PACKAGE)
        ]
        known = [int(count) for count in counts if count is not None and count.isdigit()]
        return sum(known) / 1e6 if known and len(known) == len(counts) else None


def _clock() -> float | None:
    import psutil

    try:
        found = psutil.cpu_freq()
    except (OSError, NotImplementedError, AttributeError, RuntimeError):
        return None
    return float(found.current) if found and found.current > 0 else None


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _both(before: float | None, after: float | None) -> tuple[float, float] | None:
    return None if before is None or after is None else (before, after)
