"""Fetches checkpoints from the Hugging Face hub, or finds them in its local cache."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from whisperopt.errors import BadInputError, NetworkError

_FACTS = (
    *("config.json", "generation_config.json"),
    *("tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json"),
)
_SHARDS = "model-?????-of-?????.safetensors"
_WEIGHTS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", _SHARDS),
    ("model.bin",),
)


class Snapshot(msgspec.Struct, frozen=True):
    """One revision of a repository on the local disk."""

    folder: Path
    revision: str


def fetch(repository: str) -> Snapshot:
    """Return the cached copy of `repository`, else download the files that are needed.

    Raises BadInputError for a repository that does not exist or holds no usable weights, and
    NetworkError when the hub cannot be reached.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    except ImportError:
        problem = f"Getting {repository} from the hub needs huggingface_hub"
        raise BadInputError(problem, "pip install 'whisperopt[build]'") from None
    if cached := _cached(repository):
        return cached
    try:
        files = HfApi().list_repo_files(repository)
        folder = snapshot_download(repository, allow_patterns=wanted(files, repository))
    except (RepositoryNotFoundError, HFValidationError):
        remedy = "Check its name; a private or gated one needs `hf auth login`"
        raise BadInputError(f"There is no repository {repository} on the hub", remedy) from None
    except BadInputError:
        raise
    except Exception as error:  # each HTTP library below the hub's client has its own classes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NetworkError(
            f"The hub did not give {repository}: {reason}",
            "Check the connection, or name a folder that holds the checkpoint",
        ) from None
    return Snapshot(Path(folder), Path(folder).name)


def wanted(files: Iterable[str], repository: str) -> list[str]:
    """Return which of a repository's files to download: one form of the weights, safetensors first."""
    files = list(files)
    for patterns in _WEIGHTS:
        if patterns[0] in files:
            return [f for f in files if f in _FACTS or any(fnmatchcase(f, p) for p in patterns)]
    raise BadInputError(
        f"{repository} has no model.safetensors",
        "Choose another repository, or convert its weights to safetensors first",
    )


def _cached(repository: str) -> Snapshot | None:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, local_files_only=True))
    except Exception:  # whatever is wrong with the cache, the hub itself is asked next
        return None
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    complete = "config.json" in files and any(weights[0] in files for weights in _WEIGHTS)
    return Snapshot(folder, folder.name) if complete else None
