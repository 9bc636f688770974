"""Windows programs are run under a limit, and nothing that was started is left behind."""

import os
import stat
import time
from pathlib import Path

import filelock
import pytest
from whisperopt.backends.directml import wine
from whisperopt.backends.directml.wine import Wine

from whisperopt.process import Failure
from whisperopt.reasons import because

SCREEN = "#!/bin/sh\nprintf '7\\n' >/proc/self/fd/$2\necho $$ >screen.pid\nexec sleep 60\n"
SERVER = '#!/bin/sh\necho "$WINEPREFIX $1" >server.log\n'


def command(folder: Path, name: str, text: str) -> None:
    """Put a command into the folder that stands for the whole PATH, beside a shell's own."""
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wine:
    """A machine with a screen and a wine that only answer."""
    commands = tmp_path / "bin"
    commands.mkdir()
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    monkeypatch.setattr(wine, "_WINES", ("wine64",))
    monkeypatch.chdir(tmp_path)
    command(commands, "Xvfb", SCREEN)
    command(commands, "wineserver", SERVER)
    command(commands, "wine64", '#!/bin/sh\necho "$DISPLAY $WINEPREFIX $VK_DRIVER_FILES $*"\n')
    (tmp_path / "prefix").mkdir()
    (tmp_path / "prefix" / "system.reg").touch()
    (tmp_path / "icd.json").touch()
    return Wine(prefix=tmp_path / "prefix", vulkan=tmp_path / "icd.json")


def gone(pid: int) -> bool:
    """Say whether a process has ended; one that nobody asks about any more has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_a_whole_machine_has_no_problem(place: Wine) -> None:
    assert place.problem() is None


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("bin/wine64", "wine or Xvfb is not installed"),
        ("bin/Xvfb", "wine or Xvfb is not installed"),
        ("prefix/system.reg", "is not a folder of wine"),
        ("icd.json", "there is no Vulkan driver"),
    ],
)
def test_what_is_missing_is_told(
    missing: str, reason: str, place: Wine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / missing).unlink()
    assert reason in (place.problem() or "")


def test_a_program_sees_its_own_screen_folder_and_driver(place: Wine, tmp_path: Path) -> None:
    assert place.run(["replay.exe", "job.txt"], folder=tmp_path, seconds=20) is None
    said = (tmp_path / "wine.log").read_text()
    assert said == f":7 {place.prefix} {place.vulkan} replay.exe job.txt\n"


def test_the_server_of_this_folder_is_ended_afterwards(place: Wine, tmp_path: Path) -> None:
    place.run(["replay.exe"], folder=tmp_path, seconds=20)
    assert (tmp_path / "server.log").read_text() == f"{place.prefix} -k\n"
    assert gone(int((tmp_path / "screen.pid").read_text()))


def test_an_exit_status_is_told_with_the_last_words(place: Wine, tmp_path: Path) -> None:
    command(tmp_path / "bin", "wine64", "#!/bin/sh\necho no device\nexit 3\n")
    said = place.run(["replay.exe"], folder=tmp_path, seconds=20)
    assert said == Failure(because("process.exited", status="3", last=": no device"))


def test_a_program_that_hangs_is_ended_with_its_children(place: Wine, tmp_path: Path) -> None:
    hangs = "#!/bin/sh\nsleep 60 &\necho $! >child.pid\nsleep 60\n"
    command(tmp_path / "bin", "wine64", hangs)
    started = time.monotonic()
    said = place.run(["replay.exe"], folder=tmp_path, seconds=0.5)
    assert said == Failure(because("process.too-long", seconds=0.5))
    assert time.monotonic() - started < 10
    assert gone(int((tmp_path / "child.pid").read_text()))
    assert gone(int((tmp_path / "screen.pid").read_text()))


def test_a_screen_that_does_not_start_is_a_reason(place: Wine, tmp_path: Path) -> None:
    command(tmp_path / "bin", "Xvfb", "#!/bin/sh\nexit 1\n")
    said = place.run(["replay.exe"], folder=tmp_path, seconds=20)
    assert said == Failure(because("process.not-started", "wine", why="Xvfb does not start"))


def test_a_program_waits_no_longer_than_its_limit_for_another(place: Wine, tmp_path: Path) -> None:
    with filelock.FileLock(tmp_path / "prefix.lock"):
        said = place.run(["replay.exe"], folder=tmp_path, seconds=0.3)
    assert said == Failure(because("process.too-long", seconds=0.3))
    assert not (tmp_path / "wine.log").exists()
