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
        self._before = self._look()

    def machine(self) -> Machine:
        """Return what happened since the watch began."""
        clock, load, joules = (
            None if before is None or after is None else (before, after)
            for before, after in zip(self._before, self._look(), strict=True)
        )
        drawn = joules[1] - joules[0] if joules else -1.0  # counters wrap around
        return Machine(
            clock_mhz=clock,
            load=load,
            governor=_text(self._system / _GOVERNOR),
            joules=drawn if drawn >= 0 else None,
        )

    def _look(self) -> tuple[float | None, float | None, float | None]:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        return _clock(), load, self._joules()

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


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
