"""Where the files of a repository on a model hub are read: as on any web server."""

import os
import re

from whisperopt.errors import BadInputError
from whisperopt.reasons import because

SCHEME = "hf"
BRANCH = "main"
_ADDRESS = re.compile(rf"{SCHEME}://([\w-][\w.-]*/[\w-][\w.-]*)")


def repository(address: str) -> str:
    """Return `OWNER/NAME` of `hf://OWNER/NAME`."""
    if not (found := _ADDRESS.fullmatch(address)):
        raise BadInputError(because("hub.no-address", address))
    return found[1]


def web_root(address: str, revision: str = BRANCH) -> str:
    """Return the URL under which the files of `hf://OWNER/NAME` lie."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return f"{endpoint.rstrip('/')}/{repository(address)}/resolve/{revision}"
