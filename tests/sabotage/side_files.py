"""Sabotages of what lies beside the graphs, and of what a release says about its files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.sabotage.disk import InapplicableError
from whisperopt import artifact
from whisperopt.artifact import TOKENIZER
from whisperopt.release import catalog
from whisperopt.runtime import self_test
from whisperopt.whisper import Decoding


def decoding(**changes: Callable[[Decoding], Any]) -> Callable[[Path], None]:
    """Change fields of `decoding` in artifact.json; each change is told the right values."""

    def apply(folder: Path) -> None:
        manifest = artifact.read(folder).manifest
        right = manifest.decoding
        wrong = {name: change(right) for name, change in changes.items()}
        wrong_decoding = msgspec.structs.replace(right, **wrong)
        artifact.write_manifest(folder, msgspec.structs.replace(manifest, decoding=wrong_decoding))

    return apply


def swap_words(one: int, other: int) -> Callable[[Path], None]:
    """Let two tokens of tokenizer.json stand for each other's text."""

    def apply(folder: Path) -> None:
        content = json.loads((folder / TOKENIZER).read_text("utf-8"))
        vocabulary = content["model"]["vocab"]
        texts = {number: text for text, number in vocabulary.items()}
        vocabulary[texts[one]], vocabulary[texts[other]] = other, one
        (folder / TOKENIZER).write_text(json.dumps(content), "utf-8")

    return apply


def genai(section: str, key: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Change one value of genai_config.json, for those who open the artifact with ONNX Runtime."""

    def apply(folder: Path) -> None:
        path = folder / "genai_config.json"
        if not path.is_file():
            raise InapplicableError(f"no {path.name}")
        content = json.loads(path.read_text("utf-8"))
        content[section][key] = change(content[section][key])
        path.write_text(json.dumps(content, indent=1), "utf-8")

    return apply


def claim_int8(folder: Path) -> None:
    """Let artifact.json say that 8-bit weights were asked for, which are given more room."""
    manifest = artifact.read(folder).manifest
    if manifest.recipe.precisions == {"int8"}:
        raise InapplicableError("it has 8-bit weights")
    recipe = msgspec.structs.replace(
        manifest.recipe, encoder_precision="int8", decoder_precision="int8"
    )
    artifact.write_manifest(folder, msgspec.structs.replace(manifest, recipe=recipe))


def without_self_test(folder: Path) -> None:
    """Remove the values that an artifact is tested with when it is first opened."""
    (folder / self_test.FILE).unlink()


def rehash(release: Path, variant: str) -> None:
    """Make catalog.json list the files of one variant as they are now: hashes, sizes, digest."""
    path = release / catalog.NAME
    content = json.loads(path.read_bytes())
    for entry in content["models"].values():
        for one in entry["variants"]:
            if one["name"] == variant:
                artifact.seal(release / one["path"])
                files = catalog.describe_files(release / one["path"])
                one["files"] = msgspec.to_builtins(files)
                one["size"] = sum(file.size for file in files)
                one["digest"] = catalog.digest(files)
        entry["version"] = f"{entry['version']}-1"
    path.write_text(json.dumps(content, indent=1), "utf-8")


def without_checkpoint(release: Path) -> None:
    """Let the catalog name a checkpoint that nobody has, so that nothing is compared with it."""
    path = release / catalog.NAME
    content = json.loads(path.read_bytes())
    for entry in content["models"].values():
        entry["checkpoint"] = "sha256:" + "0" * 64
    path.write_text(json.dumps(content, indent=1), "utf-8")
