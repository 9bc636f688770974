"""Progress of a long command on stderr: a spinner on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class Display:
    """Shows what is being made; quiet about single clips where nobody watches."""

    def __init__(self) -> None:
        """Write to stderr."""
        self._console = Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._name = ""
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        """Start the spinner."""
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the spinner."""
        if self._status is not None:
            self._status.stop()

    def update(self, name: str, doing: str) -> None:
        """Show that `name` is at `doing`; without a name it is the last one named."""
        self._name = name or self._name
        seconds = time.monotonic() - self._started
        line = f"[dim]{seconds:6.1f} s[/dim] {escape(self._name)}: {escape(doing)}"
        if self._status is not None:
            self._status.update(line)
        if name:
            self._console.print(line)
