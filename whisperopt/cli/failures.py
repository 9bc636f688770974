"""Failures at the command line: one sentence on stderr and an exit code, never a traceback."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from whisperopt.errors import WhisperoptError


def guarded(action: Callable[[], Any]) -> Any:
    """Run `action`; a failure that a user can act on ends the process with its sentence."""
    try:
        return action()
    except WhisperoptError as error:
        report(error)
        raise click.exceptions.Exit(error.exit_code) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        known = _known(error)
        if known is None:
            raise
        report(known)
        raise click.exceptions.Exit(known.exit_code) from None


def report(error: WhisperoptError) -> None:
    """Write the sentence to stderr."""
    click.echo(f"whisperopt: {error}", err=True)


def _known(error: OSError) -> WhisperoptError | None:
    from whisperopt.release.store import disk_error

    known = disk_error(error, Path(error.filename or "."))
    return known if isinstance(known, WhisperoptError) else None
