"""Processes are asked after without being harmed."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from whisperopt import processes
from whisperopt.processes import alive


def test_this_process_and_its_parent_are_alive() -> None:
    assert alive(os.getpid())
    assert alive(os.getppid())


def test_a_process_that_ended_is_not_alive() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert not alive(done.pid)


@pytest.mark.parametrize("process", [0, -1, -(10**9), 2**31 - 1, 2**32, 10**30])
def test_what_is_no_process_is_not_alive(process: int) -> None:
    assert not alive(process)


@pytest.mark.parametrize("system", ["Linux", "Darwin"])
def test_a_process_of_somebody_else_is_alive(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    def refuse(_process: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr(os, "kill", refuse)
    assert alive(1)


class FakeKernel:
    """Knows process 7, which runs, 8, which ended, and 9, which belongs to the system."""

    def __init__(self) -> None:
        self.open: list[int] = []

    def OpenProcess(self, access: int, inherit: int, process: int) -> int:  # noqa: N802
        assert (access, inherit) == (0x00100000, 0)
        if process not in {7, 8}:
            return 0
        self.open.append(process)
        return process

    def WaitForSingleObject(self, handle: int, _milliseconds: int) -> int:  # noqa: N802
        return 0x102 if handle == 7 else 0

    def CloseHandle(self, handle: int) -> None:  # noqa: N802
        self.open.remove(handle)


@pytest.mark.parametrize(
    ("process", "error", "answer"),
    [(7, 0, True), (8, 0, False), (9, 5, True), (10, 87, False), (2**32 + 7, 0, False)],
)
def test_windows_is_asked_through_its_own_functions(
    monkeypatch: pytest.MonkeyPatch, process: int, error: int, *, answer: bool
) -> None:
    def forbidden(*_: Any) -> None:
        pytest.fail("on Windows this would end the process")

    kernel = FakeKernel()
    monkeypatch.setattr("platform.system", lambda: "Windows")
    monkeypatch.setattr(os, "kill", forbidden)
    monkeypatch.setattr(ctypes, "WinDLL", lambda *_, **__: kernel, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: error, raising=False)
    assert alive(process) is answer
    assert kernel.open == []


def test_the_peak_of_memory_is_this_processs_own() -> None:
    before = processes.peak_rss_bytes()
    held = bytearray(b"x") * (64 * 2**20)
    assert processes.peak_rss_bytes() >= before
    assert before > 2**20
    del held


def test_where_the_system_tells_no_peak_psutil_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    assert processes.peak_rss_bytes() > 2**20


@pytest.mark.parametrize(
    ("limit", "used", "available"),
    [("max", "5", None), ("1000", "400", 600), ("400", "1000", 0), ("", "", None)],
)
def test_a_container_may_leave_less_memory_than_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, used: str, available: int | None
) -> None:
    monkeypatch.setattr(processes, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    found = processes.available_bytes()
    assert found == available if available is not None else found > 2**20
