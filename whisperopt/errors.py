"""Everything that can go wrong for a user: one class per exit code, each with its reason."""

import contextlib
from collections.abc import Iterator

from whisperopt.reasons import Reason, because


class WhisperoptError(Exception):
    """A failure that a user can act on.

    `reason` is why, `problem` the sentence that names what failed, `remedy` what to do about it.
    """

    exit_code = 1

    def __init__(self, problem: str | Reason, remedy: str = "") -> None:
        if isinstance(problem, str):
            problem = because("error.text", problem, remedy=remedy)
        super().__init__(problem)
        self.reason = problem
        self.problem = str(problem)
        self.remedy = problem.remedy

    def __str__(self) -> str:
        parts = (self.problem, self.remedy)
        return " ".join(
            part if part.endswith("?") else part.rstrip(".") + "." for part in parts if part
        )


@contextlib.contextmanager
def others_as(code: str) -> Iterator[None]:
    """Raise what has no class in common, such as runtimes' own errors, for the reason `code`."""
    try:
        yield
    except WhisperoptError:
        raise
    except Exception as error:  # noqa: BLE001  # whoever fails, e.g. out of memory, is told here
        why = f"{type(error).__name__}: {error}"
        raise WhisperoptError(because(code, why=why)) from None


def first_line(error: Exception) -> str:
    """Return the first line of what `error` says: behind it, runtimes tell of their own sources."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class GateFailedError(WhisperoptError):
    """No variant of a required target passed its gates."""

    exit_code = 1


class BadInputError(WhisperoptError):
    """The user's input cannot be used."""

    exit_code = 2


class NothingFitsError(WhisperoptError):
    """No variant can run on this host."""

    exit_code = 3


class IntegrityError(WhisperoptError):
    """Bytes are not what the catalog says they are."""

    exit_code = 4


class DiskError(WhisperoptError):
    """The disk is full or refuses to be written."""

    exit_code = 5


class NetworkError(WhisperoptError):
    """A server could not be reached or answered with an error."""

    exit_code = 6
