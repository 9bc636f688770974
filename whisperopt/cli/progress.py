"""Progress of a long command on stderr: a spinner on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.markup import escape


@contextmanager
def progress() -> Iterator[Callable[[str, str], None]]:
    """Yield what shows that a name is at something; without a name it is the last one named.

    It is quiet about single clips where nobody watches.
    """
    console = Console(stderr=True, highlight=False)
    started, last = time.monotonic(), ""
    with console.status("starting") if console.is_terminal else nullcontext() as status:

        def update(name: str, doing: str) -> None:
            nonlocal last
            last = name or last
            seconds = time.monotonic() - started
            line = f"[dim]{seconds:6.1f} s[/dim] {escape(last)}: {escape(doing)}"
            if status is not None:
                status.update(line)
            if name:
                console.print(line)

        yield update
