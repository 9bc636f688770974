"""How much memory a process took, and how much there still is."""

from pathlib import Path

import pytest

from whisperopt.host import memory


def test_the_peak_of_memory_is_this_processs_own() -> None:
    before = memory.peak_rss_bytes()
    held = bytearray(b"x") * (64 * 2**20)
    assert memory.peak_rss_bytes() >= before
    assert before > 2**20
    del held


def test_where_the_system_tells_no_peak_psutil_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    assert memory.peak_rss_bytes() > 2**20


@pytest.mark.parametrize(
    ("limit", "used", "available"),
    [("max", "5", None), ("1000", "400", 600), ("400", "1000", 0), ("", "", None)],
)
def test_a_container_may_leave_less_memory_than_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, used: str, available: int | None
) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    found = memory.available_bytes()
    assert found == available if available is not None else found > 2**20


def test_a_system_that_hides_its_memory_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden() -> None:
        raise PermissionError("/proc/meminfo")

    monkeypatch.setattr("psutil.virtual_memory", hidden)
    assert memory.available_bytes() == 4_000_000_000
