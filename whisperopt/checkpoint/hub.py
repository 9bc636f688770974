"""Fetches checkpoints from the Hugging Face hub, or finds them in its local cache."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from whisperopt.checkpoint.safetensors import INDEX, SINGLE, places_of_tensors
from whisperopt.errors import BadInputError, NetworkError, first_line
from whisperopt.reasons import because

_FACTS = (
    *("config.json", "generation_config.json"),
    *("tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json"),
)
_SHARDS = "model-?????-of-?????.safetensors"
_WEIGHTS = ((SINGLE,), (INDEX, _SHARDS), ("model.bin",))


def fetch(repository: str, *, offline: bool = False) -> Path:
    """Return the cached copy of `repository`, else download the files that are needed.

    The folder is called like the revision. Raises BadInputError for a repository that does not
    exist or holds no usable weights, and NetworkError when the hub cannot be reached.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    except ImportError:
        raise BadInputError(because("hub.client", repository)) from None
    try:
        if cached := _cached(repository):
            return cached
        if offline:
            raise BadInputError(because("hub.not-cached", repository))  # noqa: TRY301
        info = HfApi().model_info(repository)
        files = wanted((file.rfilename for file in info.siblings or ()), repository)
        folder = snapshot_download(repository, revision=info.sha, allow_patterns=files)
    except (RepositoryNotFoundError, HFValidationError):
        raise BadInputError(because("hub.no-repository", repository)) from None
    except BadInputError:
        raise
    except Exception as error:  # noqa: BLE001  # each HTTP library below the hub's client has its own classes
        raise NetworkError(because("hub.no-answer", repository, why=first_line(error))) from None
    return Path(folder)


def wanted(files: Iterable[str], repository: str) -> list[str]:
    """Return which of a repository's files to get: one form of its weights, safetensors first."""
    files = list(files)
    for patterns in _WEIGHTS:
        if patterns[0] in files:
            return [f for f in files if f in _FACTS or any(fnmatchcase(f, p) for p in patterns)]
    raise BadInputError(because("hub.no-weights", repository))


def _cached(repository: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, "config.json")
    folder = Path(path).parent if isinstance(path, str) else None
    return folder if folder and _complete(folder) else None


def _complete(folder: Path) -> bool:
    """Return whether weights and tokenizer are there: downloads may have been cut short."""
    has_tokenizer = any((folder / name).is_file() for name in ("tokenizer.json", "merges.txt"))
    has_weights = any((folder / patterns[0]).is_file() for patterns in _WEIGHTS)
    if (folder / INDEX).is_file() and not (folder / SINGLE).is_file():
        has_weights = all((folder / s).is_file() for s in set(places_of_tensors(folder).values()))
    return has_tokenizer and has_weights
