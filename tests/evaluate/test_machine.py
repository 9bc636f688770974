"""What the machine did meanwhile: told where it tells, None where it does not."""

from pathlib import Path

import msgspec
import psutil
import pytest

from whisperopt.evaluate.evidence import Machine
from whisperopt.evaluate.machine import MachineWatch

GOVERNOR = "devices/system/cpu/cpu0/cpufreq/scaling_governor"


def zone(system: Path, number: str, name: str, microjoules: int | str) -> Path:
    """Write a zone of the power counters, as Linux shows them; return its counter."""
    folder = system / f"class/powercap/intel-rapl:{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{name}\n", "utf-8")
    (folder / "energy_uj").write_text(f"{microjoules}\n", "utf-8")
    return folder / "energy_uj"


def test_energy_is_what_the_packages_drew_since(tmp_path: Path) -> None:
    first = zone(tmp_path, "0", "package-0", 1_000_000)
    second = zone(tmp_path, "10", "package-1", 5_000_000)
    watch = MachineWatch(tmp_path)
    first.write_text("3500000\n", "utf-8")
    second.write_text("6000000\n", "utf-8")
    assert watch.machine().joules == pytest.approx(3.5)


def test_what_lies_within_a_package_or_around_it_is_not_counted_again(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0", 0)
    core, whole = zone(tmp_path, "0:0", "core", 0), zone(tmp_path, "1", "psys", 0)
    watch = MachineWatch(tmp_path)
    zone(tmp_path, "0", "package-0", 2_000_000)
    core.write_text("1000000\n", "utf-8")
    whole.write_text("9000000\n", "utf-8")
    assert watch.machine().joules == pytest.approx(2)


@pytest.mark.parametrize("later", [10, "", "many"], ids=["wrapped", "empty", "no-number"])
def test_a_counter_that_wraps_or_says_nothing_gives_no_energy(
    tmp_path: Path, later: int | str
) -> None:
    zone(tmp_path, "0", "package-0", 1_000_000)
    watch = MachineWatch(tmp_path)
    zone(tmp_path, "0", "package-0", later)
    assert watch.machine().joules is None


def test_a_counter_that_may_not_be_read_gives_no_energy(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0", 1)
    zone(tmp_path, "1", "package-1", 1).unlink()
    assert MachineWatch(tmp_path).machine().joules is None


def test_the_governor_is_told_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / GOVERNOR
    path.parent.mkdir(parents=True)
    path.write_text("powersave\n", "utf-8")
    assert MachineWatch(tmp_path).machine().governor == "powersave"
    path.write_bytes(b"\xff")
    assert MachineWatch(tmp_path).machine().governor is None


def test_a_machine_that_tells_nothing_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    monkeypatch.delattr("os.getloadavg", raising=False)
    assert MachineWatch(tmp_path).machine() == Machine()


@pytest.mark.parametrize("error", [OSError, NotImplementedError, RuntimeError])
def test_a_clock_that_cannot_be_asked_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(psutil, "cpu_freq", refuse)
    assert MachineWatch(tmp_path).machine().clock_mhz is None


def test_clock_and_load_are_told_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(msgspec.Struct):
        current: float

    clocks, loads = iter((Clock(3000.0), Clock(2000.0))), iter(((0.5, 0, 0), (1.5, 0, 0)))
    monkeypatch.setattr(psutil, "cpu_freq", lambda: next(clocks))
    monkeypatch.setattr("os.getloadavg", lambda: next(loads), raising=False)
    made = MachineWatch(tmp_path).machine()
    assert (made.clock_mhz, made.load) == ((3000, 2000), (0.5, 1.5))


def test_this_machine_gives_values_that_evidence_takes() -> None:
    made = MachineWatch().machine()
    assert msgspec.json.decode(msgspec.json.encode(made), type=Machine) == made
