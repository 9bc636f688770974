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
_LOG = "wine.log"
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
        import filelock

        ends = time.monotonic() + seconds
        alone = filelock.FileLock(self.prefix.with_suffix(".lock"), timeout=seconds)
        try:
            with alone, _screen() as display:
                status = self._status([_wine(), *command], folder, display, ends)
        except (TimeoutError, subprocess.TimeoutExpired):
            return Failure(because("process.too-long", seconds=seconds))
        except OSError as error:
            return Failure(because("process.not-started", "wine", why=str(error)))
        said = (folder / _LOG).read_text("utf-8", errors="replace")
        return how_it_ended(status, said) if status else None

    def _status(
        self, command: Sequence[str | Path], folder: Path, display: str, ends: float
    ) -> int:
        variables = {
            **os.environ,
            "DISPLAY": display,
            "GALLIVM_PERF": "nopt",  # its shaders take longer to compile than to run
            "VK_DRIVER_FILES": str(self.vulkan),
            "VK_ICD_FILENAMES": str(self.vulkan),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree=;mshtml=",  # nothing is asked of whoever has no screen
            "WINEPREFIX": str(self.prefix),
            "XDG_RUNTIME_DIR": str(folder.absolute()),
        }
        with (folder / _LOG).open("wb") as output:
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
                return program.wait(max(0, ends - time.monotonic()))
            finally:
                _end(program)
                _end_server(variables)


def _wine() -> str:
    """Return the command, or nothing."""
    return next(filter(None, map(shutil.which, _WINES)), "")


@contextlib.contextmanager
def _screen() -> Iterator[str]:
    """Start a screen in memory; give its name, e.g. `:1`."""
    screen = subprocess.Popen(  # noqa: S603
        [_SCREEN, "-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with screen:
        try:
            told = screen.stdout
            ready = told and select.select([told], [], [], _PATIENCE)[0]
            number = os.read(told.fileno(), 16).strip().decode() if told and ready else ""
            if not number:
                raise OSError(f"{_SCREEN} does not start")
            yield f":{number}"
        finally:
            _end(screen)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and what it started in its session, at once if it must be."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
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
