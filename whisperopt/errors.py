"""Everything that can go wrong for a user: one class per exit code, each a sentence and a remedy."""


class WhisperoptError(Exception):
    """A failure that a user can act on.

    `problem` names the thing that failed, `remedy` says what to do about it.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [
            part if part.endswith("?") else part.rstrip(".") + "." for part in self.args if part
        ]
        return " ".join(parts)


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
