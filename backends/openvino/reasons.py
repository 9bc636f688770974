"""Finds the one line of OpenVINO's errors that says what is wrong."""

import re

_PREAMBLE = re.compile(
    r"Exception from |Check '|While validating |FrontEnd API failed|Model wasn't fully converted"
    r"|Failed operations detailed log|Summary:|-- (.* )?with a message:$"
)


def reason(error: BaseException | str) -> str:
    """Return the sentence that says why; where in OpenVINO's source it arose is left out."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = next((line for line in lines if not _PREAMBLE.match(line)), "".join(lines[:1]))
    return found.removeprefix("-- ").rstrip(".") or "no reason is given"
