"""Runs a Windows program on Linux: wine, a screen in memory, and Direct3D 12 on software Vulkan.

What is started here is ended here, whatever becomes of it: the screen, the program, and the wine
server of its own folder.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from whisperopt.process import Failure, how_it_ended
from whisperopt.reasons import because

_WINES = ("/usr/lib/wine/wine64", "wine64", "wine")
_SCREEN = "Xvfb"
_PATIENCE = 15.0


class Wine(msgspec.Struct, frozen=True, kw_only=True):
    """Where wine's files and the software device lie."""

    prefix: Path
    """Wine's own folder."""
    vulkan: Path
    """The manifest of the Vulkan driver."""

    def problem(self) -> str | None:
        """Return what is missing on this machine, or None."""
        if sys.platform != "linux":
            return "wine's software device is for Linux"
        if not (_wine() and shutil.which(_SCREEN)):
            return f"wine or {_SCREEN} is not installed"
        if not (self.prefix / "system.reg").is_file():
            return f"{self.prefix} is not a folder of wine"
        return None if self.vulkan.is_file() else f"there is no Vulkan driver {self.vulkan}"

    def run(
        self, command: Sequence[str | Path], *, folder: Path, seconds: float
    ) -> Failure | None:
        """Run a Windows program in `folder`; return how it ended if not well, None if it did.

        One at a time: a program waits for the one before it, within its `seconds`.
        """
        ends = time.monotonic() + seconds
        try:
            with _alone(self.prefix.with_suffix(".lock"), ends), _screen() as display:
                return self._wait_for([_wine(), *command], folder, display, ends)
        except TimeoutError:
            return Failure(because("process.too-long", seconds=seconds))
        except OSError as error:
            return Failure(because("process.not-started", "wine", why=str(error)))

    def _wait_for(
        self, command: Sequence[str | Path], folder: Path, display: str, ends: float
    ) -> Failure | None:
        variables = self._variables(folder, display)
        log = folder / "wine.log"
        with log.open("wb") as output:
            program = subprocess.Popen(  # noqa: S603  # our own program
                command,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                status = program.wait(max(0, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise TimeoutError from None
            finally:
                _end(program)
                _end_server(variables)
        said = log.read_text("utf-8", errors="replace")
        return how_it_ended(status, said) if status else None

    def _variables(self, folder: Path, display: str) -> dict[str, str]:
        return {
            **os.environ,
            "DISPLAY": display,
            "VK_DRIVER_FILES": str(self.vulkan),
            "VK_ICD_FILENAMES": str(self.vulkan),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree=;mshtml=",  # nothing is asked of whoever has no screen
            "WINEPREFIX": str(self.prefix),
            "XDG_RUNTIME_DIR": str(folder.absolute()),
        }


def _wine() -> str:
    """Return the command, or nothing."""
    return next(filter(None, map(shutil.which, _WINES)), "")


@contextlib.contextmanager
def _alone(path: Path, ends: float) -> Iterator[None]:
    """Hold the lock `path`; raise `TimeoutError` if others do until then."""
    import fcntl  # absent on Windows, where this module is imported all the same

    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise TimeoutError from None
                time.sleep(0.2)
        yield


@contextlib.contextmanager
def _screen() -> Iterator[str]:
    """Start a screen in memory; give its name, e.g. `:1`."""
    told, tell = os.pipe()
    command = [_SCREEN, "-displayfd", str(tell), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    screen = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[tell],
        start_new_session=True,
    )
    os.close(tell)
    try:
        ready, _, _ = select.select([told], [], [], _PATIENCE)
        number = os.read(told, 16).strip().decode() if ready else ""
        if not number:
            msg = f"{_SCREEN} does not start"
            raise OSError(msg)
        yield f":{number}"
    finally:
        os.close(told)
        _end(screen, signal.SIGTERM)


def _end(process: "subprocess.Popen[bytes]", how: int = signal.SIGTERM) -> None:
    """End a process and what it started in its session, at once if it must be."""
    for sent in (how, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
            return


def _end_server(variables: Mapping[str, str]) -> None:
    """End what is left in the folder that the variables name, and nothing else."""
    server = Path(_wine()).resolve().with_name("wineserver")
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(  # noqa: S603
            [server, "-k"], env=variables, capture_output=True, check=False, timeout=_PATIENCE
        )
