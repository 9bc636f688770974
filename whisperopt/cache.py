"""Where whisperopt keeps what it can make or fetch again."""

import os
from pathlib import Path


def folder(kind: str) -> Path:
    """Return the folder for one kind of things, below `WHISPEROPT_CACHE` or the user's cache."""
    if given := os.environ.get("WHISPEROPT_CACHE"):
        return Path(given).resolve() / kind
    import platformdirs

    return platformdirs.user_cache_path("whisperopt") / kind
