"""Finds the one line of OpenVINO's errors that says what is wrong."""

_PREAMBLE = (
    *("Exception from ", "Check '", "While validating ", "FrontEnd API failed"),
    *("Model wasn't fully converted", "Failed operations detailed log", "Summary:"),
)


def reason(error: BaseException | str) -> str:
    """Return the sentence that says why; where in OpenVINO's source it arose is left out."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_PREAMBLE) and not _heading(line)]
    found = next(iter([*telling, *lines]), "")
    return found.removeprefix("-- ").rstrip(".") or "no reason is given"


def _heading(line: str) -> bool:
    return line.startswith("-- ") and line.endswith(" with a message:")
