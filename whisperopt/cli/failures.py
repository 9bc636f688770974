"""Failures at the command line: one sentence on stderr and an exit code, never a traceback."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.reasons import because


def guarded(action: Callable[[], Any]) -> Any:
    """Run `action`; a failure that a user can act on ends the process with its sentence."""
    try:
        return action()
    except WhisperoptError as error:
        report(error)
        raise click.exceptions.Exit(error.exit_code) from None
    except BrokenPipeError:
        raise
    except (OSError, ModuleNotFoundError) as error:
        known = _known(error)
        if known is None:
            raise
        report(known)
        raise click.exceptions.Exit(known.exit_code) from None


def report(error: WhisperoptError) -> None:
    """Write the sentence to stderr."""
    click.echo(f"whisperopt: {error}", err=True)


def _known(error: OSError | ModuleNotFoundError) -> WhisperoptError | None:
    from whisperopt.release.store import disk_error

    if isinstance(error, ModuleNotFoundError):
        return _missing(error)
    known = disk_error(error, Path(error.filename or "."))
    if isinstance(known, WhisperoptError):
        return known
    if error.filename is None or error.strerror is None:
        return None
    return BadInputError(because("cli.file", error.filename, why=error.strerror))


def _missing(error: ModuleNotFoundError) -> WhisperoptError | None:
    """Say which extra brings a package that only some commands need."""
    package = (error.name or "whisperopt").partition(".")[0]
    if package in {"whisperopt", "backends"}:
        return None
    return BadInputError(because("cli.package", package))
